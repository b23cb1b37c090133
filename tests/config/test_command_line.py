"""run.py's own flags, and how it ends when its reader has gone."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from persona_exp.trial import forgotten_sweep
from persona_exp.trial.recorded_sweep import read_sweep
from tests.conftest import ROOT


def test_help_into_a_pipe_that_closes():
    code = "import subprocess, sys; p = subprocess.Popen([sys.executable, 'run.py', '--help'], stdout=subprocess.PIPE, stderr=None)\n"
    code += "p.stdout.close(); sys.exit(p.wait())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--cfg", "job", "-m"], "--cfg and -m do not go together"),
        (["--dry-run", "--cfg", "job"], "--dry-run and --cfg do not go together"),
        (["+sweeps=lora_rank"], "+sweeps=lora_rank is a sweep of many trials: add -m"),
        (["-m", "+sweeps=lora_rank,lora_rank"], "+sweeps takes one sweep at a time"),
        (["-m", "+sweeps=lora"], "sweeps=lora does not exist: choose one of"),
        (["hydra/launcher=slurm"], "hydra/launcher=slurm submits sweeps: add -m"),
        (["sweep.name=a,b"], "sweep.name=a,b is no name for a folder: give 1 to 80 of the characters"),
        (["-m", "seed=1,2", "sweep.name=a,b"], "sweep.name=a,b is no name for a folder: give 1 to 80 of the characters"),
        (["-m", "seed=1,2", "sweep.nam=a"], "There is no setting sweep.nam: sweep has name, note; did you mean sweep.name?"),
        (["-m", "hydra/sweeper=optuna", "lora.r=4,8", "sweep.name=a", "hydra.sweeper.study_name=b"], "are two names of one search"),
        (["-m", "seed=1,2", "hydra/launcher=slurm", "hydra.launcher.partiton=x"], "There is no setting hydra.launcher.partiton"),
        (
            ["-m", "seed=1,2", "+hydra.launcher.partiton=x"],
            "There is no setting hydra.launcher.partiton: hydra.launcher has n_jobs, dry_run.",
        ),
        (
            ["-m", "seed=1,2", "hydra/launcher=slurm", "hydra.launcher.additional_parameters={licenses:abc}"],
            "write +hydra.launcher.additional_parameters.licenses=VALUE to add it",
        ),
        (["-m", "seed=1,2", "hydra.launcher.wait=false"], "hydra.launcher.wait is a setting of hydra/launcher=slurm: add"),
        (["-m", "seed=1,2", "+hydra.launcher.partition=gpu"], "hydra.launcher.partition is a setting of hydra/launcher=slurm: add"),
        (["-m", "seed=1,2", "hydra/launcher=basic"], "choose hydra/launcher=local or hydra/launcher=slurm"),
        (
            ["-m", "seed=1,2", "hydra/launcher=lokal"],
            "hydra/launcher=lokal does not exist: choose one of local, slurm; did you mean local?",
        ),
        (["-m", "seed=1,2", "hydra.launcher.n_jobs=0"], "hydra.launcher.n_jobs=0 must be 1 or more"),
        (["hydra.launcher.n_jobs=0"], "hydra.launcher.n_jobs=0 must be 1 or more"),
        (["+hydra.launcher.partition=gpu"], "hydra.launcher.partition is a setting of hydra/launcher=slurm: add"),
    ],
)
def test_a_launcher_asked_for_wrongly_is_one_sentence(run_py, tmp_path, arguments, says):
    done = run_py(*arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_without_slurm_it_is_named(run_py, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    done = run_py("-m", "seed=1,2", "engine=noop", "model=tiny", "hydra/launcher=slurm")
    assert done.returncode == 2
    assert "there is no sbatch here" in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.long
@pytest.mark.parametrize("name", ["SIGUSR2", "SIGTERM"])
def test_a_signal_before_there_is_a_worker_means_again(name):
    body = "import os, runpy, signal, sys, time\nfrom persona_exp.launch import launch_trial\nsys.argv = ['run.py', 'engine=noop']\n"
    body += f"launch_trial.launch_trial = lambda *a, **k: (os.kill(os.getpid(), signal.{name}), time.sleep(9))\n"
    body += "runpy.run_path('run.py', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", body], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 75
    assert done.stderr == f"Stopped by {name}; the same command goes on.\n"


@pytest.mark.long
@pytest.mark.parametrize("arguments", [["seed=1"], ["-m", "seed=1,2"]])
def test_what_a_job_sealed_it_goes_on_with_whatever_the_command_line_would_say_by_then(run_py, tmp_path, monkeypatch, arguments):
    note = tmp_path / "runs" / "jobs" / "7"
    monkeypatch.setenv("PERSONA_EXP_JOB_NOTE", str(note))
    done = run_py(*arguments, "engine=noop", "model=tiny")
    assert done.returncode == 0, done.stderr
    code, *command = note.read_text().splitlines()
    assert Path(code).parent == tmp_path / "runs" / "code"
    trials = sorted((tmp_path / "runs" / "trials").iterdir())
    for trial in trials:
        shutil.rmtree(trial / "adapter")
        for path in (trial / "attempts").glob("*.json"):
            path.write_text(path.read_text().replace('"finished"', '"interrupted"'))
    environment = {**os.environ, "PYTHONPATH": code}
    again = subprocess.run(
        [sys.executable, "-P", "-m", *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert again.returncode == 0, again.stdout + again.stderr
    assert re.search(r"^(Trial|Sweep) .* goes on as it was sealed\.$", again.stdout, re.MULTILINE)
    assert sorted((tmp_path / "runs" / "trials").iterdir()) == trials
    assert all((trial / "adapter" / "noop.json").is_file() for trial in trials)


@pytest.mark.long
def test_a_sweep_has_the_name_and_the_note_that_it_was_given(run_py, tmp_path):
    note = """Émile's "first" try, [8,16], \\"""
    asked = ("-m", "seed=1,2", "engine=noop", "model=tiny", "sweep.name=ranks")
    assert run_py(*asked, f"sweep.note={note}").returncode == 0
    assert read_sweep(tmp_path / "runs", "ranks").note == note
    assert (tmp_path / "runs" / "latest").readlink().name == "ranks"
    again = run_py(*asked)
    assert "Sweep ranks: 2 trials, 2 finished, 0 to run." in again.stdout
    assert read_sweep(tmp_path / "runs", "ranks").note == note
    other = run_py("-m", "seed=1,3", *asked[2:])
    assert (other.returncode, other.stderr.count("\n")) == (2, 1)
    assert "sweep.name=ranks is taken by another sweep" in other.stderr
    assert run_py(*asked, "sweep.note=").returncode == 0
    assert read_sweep(tmp_path / "runs", "ranks").note == ""
    forgotten_sweep.forget(tmp_path / "runs" / "sweeps" / "ranks")
    assert "ranks was forgotten: the command takes that back." in run_py(*asked).stdout
    assert not forgotten_sweep.is_forgotten(tmp_path / "runs" / "sweeps" / "ranks")
    plain = run_py(*asked[:-1])
    assert "2 trials, 2 finished, 0 to run." in plain.stdout


def test_before_setup_it_is_asked_for():
    done = subprocess.run([sys.executable, "-S", "run.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 2
    assert done.stderr == "error: hydra is not installed here: run `make setup`, then .venv/bin/python run.py.\n"


@pytest.mark.long
@pytest.mark.parametrize("arguments", [["seed=1"], ["-m", "seed=1,2"]])
def test_trials_that_stay_on_this_machine_though_the_profile_is_of_slurm_are_warned_of(run_py, monkeypatch, arguments):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    done = run_py(*arguments, "engine=noop", "model=tiny", "cluster=dgx_a100")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("warning: cluster=dgx_a100 is a Slurm site's, but the trials run here")
    assert done.stderr.count("warning:") == 1
