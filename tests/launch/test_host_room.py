"""A model that is too large for its nodes' memory, or for the disk, is said or refused before anything is submitted."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from persona_exp.errors import UserError
from persona_exp.launch import host_room
from persona_exp.launch.host_room import check_host, host_memory_gb, memory_fault, refuse_too_large


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, None),
        ({"mem_gb": 32}, 32.0),
        ({"mem_per_gpu": "64G"}, 64.0),
        ({"mem_per_cpu": "4000M", "cpus_per_task": 8}, 32.0),
        ({"mem_per_cpu": "4000"}, 4.0),
        ({"mem_per_cpu": "whatever"}, None),
    ],
)
def test_the_memory_that_is_asked_for(options, expected):
    assert host_memory_gb(options) == expected


def test_weights_that_are_there_in_two_formats_count_once(tmp_path):
    for name in ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "consolidated.safetensors"):
        (tmp_path / name).write_bytes(bytes(1000))
    assert host_room.weights_gb(tmp_path) * host_room.GB == 2000


def test_weights_need_room_beside_python():
    assert memory_fault(65.0, 80.0) is None
    assert memory_fault(65.0, None) is None
    assert memory_fault(28.2, 30.0) is None  # 30 GiB
    what, fix = memory_fault(31.0, 32.0)
    assert "31.0 GB in files and a job gets 32 GB" in what
    assert "hydra.launcher.mem_gb=36" in fix


@pytest.fixture
def sized(monkeypatch):
    """Weights of so many GB, and so many free on the disk."""

    def to(weights, free=1000.0):
        monkeypatch.setattr(host_room, "weights_gb", lambda folder: weights)
        monkeypatch.setattr(host_room.shutil, "disk_usage", lambda _: SimpleNamespace(free=free * 1e9))

    return to


def check(configs, folder, memory, *, gpu):
    return check_host(configs, [folder] * len(configs), {"mem_gb": memory}, gpu=gpu)


def test_on_a_gpu_it_is_said_and_on_processors_refused(config, tmp_path, sized):
    sized(65.0)
    plain, nf4 = config("model=tiny", "method=lora"), config("model=tiny", "method=qlora")
    (warning,) = check([plain], tmp_path, 32, gpu=True)
    assert "65.0 GB in files and a job gets 32 GB" in warning
    assert "hydra.launcher.mem_gb=70" in warning
    assert len(check([nf4], tmp_path, 32, gpu=False)) == 1
    with pytest.raises(UserError, match=r"65\.0 GB in files .*mem_gb=70 or more, or take method=qlora"):
        check([plain], tmp_path, 32, gpu=False)
    # In 32 bits in its files, say, and 16 in memory.
    assert len(check([plain], tmp_path, 35, gpu=False)) == 1
    assert check([plain], tmp_path, 70, gpu=True) == check([plain], tmp_path, None, gpu=False) == []


def test_whole_models_are_compared_with_the_free_disk(config, tmp_path, sized):
    whole = replace(config("model=tiny", "method=full"), runs=str(tmp_path / "runs"))
    sized(30.0, free=100.0)
    assert check([whole] * 3, tmp_path, None, gpu=True) == []
    (warning,) = check([whole] * 4, tmp_path, None, gpu=True)
    assert "4 whole models, 120.0 GB" in warning
    sized(30.0, free=20.0)
    with pytest.raises(UserError, match=r"method=full writes whole models, of 30\.0 GB, and .* has 20\.0 GB free"):
        check([whole], tmp_path, None, gpu=True)


def test_the_scripts_ask_for_memory_that_takes_a_7b_model():
    from tests.conftest import ROOT

    for name in ("train.sbatch", "sweep.sbatch"):
        assert "#SBATCH --mem=32G\n" in (ROOT / "slurm" / name).read_text()


def test_ranks_that_no_machine_holds_are_refused_before_they_run(config):
    with pytest.raises(UserError) as refused:
        refuse_too_large([config("model=tiny", "lora.r=1000000")], 16.0, gpu=False)
    assert str(refused.value).startswith("tiny, method=lora with lora.r=1000000, needs at least ")
    assert str(refused.value).endswith(
        "GiB for its weights and what it trains, and this machine or job has 16.0: lower lora.r or take a smaller model."
    )
    refuse_too_large([config("model=tiny", "lora.r=64"), config("model=tiny", "lora.r=1000000", "engine=noop")], 16.0, gpu=False)
    refuse_too_large([config("model=tiny", "lora.r=1000000")], None, gpu=True)
    # What is published takes no more memory.
    refuse_too_large([config("model=tiny", "lora.r=1000000")], 16.0, gpu=False, done=lambda _: True)
