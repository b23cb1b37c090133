"""What a sweep's devices bear, and what its command says of bundles before it begins."""

import json
import os
from pathlib import Path

import pytest

from persona_exp import cgroup_memory
from persona_exp.config.schema import Cluster
from persona_exp.launch.launcher_options import LocalOptions, SlurmOptions
from persona_exp.launch.slurm.site_limits import Limits
from persona_exp.launch.sweep_forecast import Device, device_of
from persona_exp.launch.workers.visible_gpus import gpu_memory_gb

SITE = Limits(1001, None, 80.0)


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two GPUs and their nvidia-smi, which does not know the size of a slice."""
    script = tmp_path / "nvidia-smi"
    script.write_text('#!/bin/sh\ncase "$1" in --id=0) echo 81920;; --id=1) echo 40960;; *) echo "[N/A]";; esac\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")


def test_a_jobs_gpu_is_what_the_cluster_says_else_what_slurm_tells() -> None:
    gpus = SlurmOptions(gpus_per_node="a100:1", array_parallelism=4)
    assert device_of(gpus, Cluster(name="x"), SITE) == Device(1, 80.0, 4)
    assert device_of(gpus, Cluster(name="x", gpu_memory_gb=40), SITE) == Device(1, 40.0, 4)
    assert device_of(gpus, Cluster(name="x"), None) == Device(1, None, 4)
    assert device_of(SlurmOptions(mem_gb=16), Cluster(name="x", gpu_memory_gb=40), SITE) == Device(0, 16, 256)
    assert device_of(SlurmOptions(), Cluster(name="x"), SITE) == Device(0, None, 256)


def test_here_it_is_the_smallest_gpu_shared_among_those_who_run_on_it(driver: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert device_of(LocalOptions(), Cluster(name="x"), None) == Device(1, 40.0, 2)
    assert device_of(LocalOptions(n_jobs=4), Cluster(name="x"), None) == Device(1, 20.0, 4)
    assert device_of(LocalOptions(n_jobs=4), Cluster(name="x", gpu_memory_gb=64), None) == Device(1, 32.0, 4)
    assert gpu_memory_gb(["0", "MIG-1"]) is None
    monkeypatch.setenv("PATH", "/nowhere")
    assert device_of(LocalOptions(), Cluster(name="x"), None) == Device(1, None, 2)


def test_without_a_gpu_it_is_the_machines_memory_or_what_the_control_group_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    whole = device_of(LocalOptions(), Cluster(name="x"), None)
    assert whole.memory_gb is not None
    assert device_of(LocalOptions(n_jobs=2), Cluster(name="x"), None).memory_gb == pytest.approx(whole.memory_gb / 2)
    assert whole.memory_gb <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30

    groups, mount = tmp_path / "groups", tmp_path / "mount"
    groups.write_text("0::/job/step\n")
    (mount / "job" / "step").mkdir(parents=True)
    (mount / "job" / "step" / "memory.max").write_text("max\n")
    machine = cgroup_memory.memory_gb(groups, mount)
    (mount / "job" / "memory.max").write_text(f"{2**28}\n")
    assert cgroup_memory.memory_gb(groups, mount) == 0.25 < machine
    (mount / "memory" / "uid").mkdir(parents=True)
    (mount / "memory" / "uid" / "memory.limit_in_bytes").write_text(f"{2**27}\n")
    groups.write_text("5:cpu,cpuacct:/uid\n4:memory:/uid\n")
    assert cgroup_memory.memory_gb(groups, mount) == 0.125
    assert cgroup_memory.memory_gb(tmp_path / "absent", mount) == machine


@pytest.mark.long
@pytest.mark.usefixtures("built")
def test_a_command_says_which_trials_share_a_base_model_and_why_others_do_not(run_py, tmp_path):
    done = run_py(
        "-m",
        "lora.r=8,16,32",
        "seed=0,1",
        "method=qlora,full",
        "engine=fused",
        "model=tiny",
        "bundle.size=4",
        "hydra/launcher=slurm",
        "cluster=testbed",
        "--dry-run",
    )
    assert done.returncode == 0, done.stderr
    assert "2 alone (method=full changes the base model)." in done.stderr
    assert "in 2 tasks, up to 3 at once on one base model; " in done.stderr


@pytest.mark.long
def test_a_local_sweeps_plan_is_recorded(run_py, tmp_path):
    done = run_py("-m", "seed=range(3)", "engine=noop", "model=tiny")
    assert done.returncode == 0, done.stderr
    (sweep,) = (tmp_path / "runs" / "sweeps").iterdir()
    assert [one["work"] for one in json.loads((sweep / "loads.json").read_text())] == [1.0] * 3
    launch = json.loads((sweep / "submissions" / "0001.json").read_text())["options"]["launch"]
    assert (launch["together"], launch["terms"]["share"]) == ([1], True)
