"""A job that asked for a GPU and sees none fails before it loads anything."""

import json
import os

import pytest

from persona_exp.launch.recovery.retry_decision import allow_after_site_faults, decide
from persona_exp.training.stop_signals import Interruption
from persona_exp.trial import asked_gpu
from persona_exp.trial import run_sealed_trials as running
from persona_exp.trial.asked_gpu import how_asked, visible_devices_asked
from persona_exp.trial.run_sealed_trials import run
from persona_exp.trial.seal import seal

JOB = {"SLURM_JOB_ID": "7"}


@pytest.mark.parametrize(
    ("variables", "profile", "expected"),
    [
        ({}, None, None),
        ({}, "a100:1", None),
        (JOB, None, None),
        (JOB, "a100:1", "cluster.gpus_per_node=a100:1"),
        (JOB, "0", None),
        ({**JOB, "SLURM_GPUS_ON_NODE": "2"}, None, "SLURM_GPUS_ON_NODE=2"),
        ({**JOB, "SLURM_GPUS_ON_NODE": "0"}, None, None),
        ({**JOB, "SLURM_JOB_GPUS": "0"}, None, "SLURM_JOB_GPUS=0"),
        ({**JOB, "SLURM_GPUS_PER_NODE": "a100:1"}, None, "SLURM_GPUS_PER_NODE=a100:1"),
        ({asked_gpu.VARIABLE: "gres=gpu:1"}, None, "gres=gpu:1"),
        # The sweep was sent to processors, whatever the profile asks for.
        ({**JOB, asked_gpu.VARIABLE: ""}, "a100:1", None),
        ({**JOB, asked_gpu.VARIABLE: "", "SLURM_GPUS_ON_NODE": "1"}, None, "SLURM_GPUS_ON_NODE=1"),
    ],
)
def test_how_a_job_asked(variables, profile, expected):
    assert how_asked(variables, profile) == expected


@pytest.mark.parametrize(
    ("devices", "asked"), [(None, False), ("", False), ("-1", False), ("NoDevFiles", False), ("0", True), ("GPU-1,2", True)]
)
def test_what_visible_devices_ask_for(devices, asked):
    found = visible_devices_asked({} if devices is None else {"CUDA_VISIBLE_DEVICES": devices})
    assert found == (f"CUDA_VISIBLE_DEVICES={devices}" if asked else None)


@pytest.fixture
def blind(monkeypatch):
    """torch sees no GPU; the driver is older than its build."""
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(asked_gpu, "driver_cuda", lambda: "12.4")
    monkeypatch.setattr(asked_gpu, "torch_cuda", lambda: "13.0")
    for name in ("CUDA_VISIBLE_DEVICES", *asked_gpu._SLURM, "SLURM_JOB_ID", asked_gpu.VARIABLE):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.long
@pytest.mark.parametrize("engine", ["fused", "sft"])
def test_a_job_without_its_gpu_fails_one_trial_before_loading_and_leaves_the_rest(tiny, blind, capsys, engine):
    sealed = [seal(tiny(f"engine={engine}", f"lora.r={rank}"), command="test") for rank in (2, 4)]
    blind.setenv("SLURM_JOB_ID", "7")
    blind.setenv("SLURM_GPUS_ON_NODE", "1")
    blind.setattr(running, "run_trial", lambda *_: pytest.fail("it was begun"))
    assert run([one.path for one in sealed], Interruption()) != 0
    (attempt,) = sealed[0].directory.attempts.glob("*.json")
    record = json.loads(attempt.read_text())
    assert (record["status"], record["cause"]) == ("failed", "no_gpu")
    for words in ("SLURM_GPUS_ON_NODE=1", "CUDA 12.4", "CUDA 13.0", "make setup TORCH=cu126"):
        assert words in record["message"]
    assert not list(sealed[1].directory.attempts.glob("*.json"))
    # Nobody but a person tries it again, by the command alone.
    directory, name = sealed[0].directory, sealed[0].path.name
    found = decide(directory, name, lambda _: "dead")
    assert (found.next, found.cause) == ("failed", "no_gpu")
    assert allow_after_site_faults([directory], [name]) == [sealed[0].trial_id]
    assert decide(directory, name, lambda _: "dead").next == "run"


@pytest.mark.parametrize("devices", [None, ""])
def test_a_machine_without_a_gpu_computes_on(blind, devices, capsys):
    if devices is not None:
        blind.setenv("CUDA_VISIBLE_DEVICES", devices)
    blind.setattr(asked_gpu.Path, "glob", lambda *_: iter(()))
    asked_gpu.refuse_missing_gpu("a100:1")
    assert capsys.readouterr().out == ""


def test_a_gpu_that_torch_cannot_use_is_said(blind, capsys):
    blind.setattr(asked_gpu.Path, "glob", lambda *_: iter([asked_gpu.Path("/dev/nvidia0")]))
    asked_gpu.refuse_missing_gpu(None)
    assert "warning: there is a GPU here" in capsys.readouterr().out


@pytest.mark.parametrize(("option", "asked"), [("0", ""), ("a100:1", "gpus_per_node=a100:1")])
def test_a_worker_tells_what_its_sweep_asked_for(tmp_path, monkeypatch, option, asked):
    from argparse import Namespace

    from persona_exp.launch.sweeps.submission_record import create, draft
    from persona_exp.launch.workers import __main__ as worker

    options = {"sbatch": {"gpus_per_node": option}, "launch": {}}
    made = draft(tmp_path / "sweeps" / "x", launcher="slurm", tasks=[["0123456789ab/seals/01234567.json"]], options=options, canary=False)
    assert create(made)
    made.folder.mkdir()
    monkeypatch.setenv(asked_gpu.VARIABLE, "of a job around it")
    monkeypatch.setattr(worker, "requeue_away_from_failed_node", lambda submission: True)
    given = Namespace(submission=made.path, seal=[], first=0, task=0, gpu=None, quiet=True)
    assert worker._work(given, None) == worker.INTERRUPTED
    assert os.environ[asked_gpu.VARIABLE] == asked
