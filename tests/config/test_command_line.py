"""run.py's own flags, and how it ends when its reader has gone."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT


def test_help_into_a_pipe_that_closes():
    code = "import subprocess, sys; p = subprocess.Popen([sys.executable, 'run.py', '--help'], stdout=subprocess.PIPE, stderr=None)\n"
    code += "p.stdout.close(); sys.exit(p.wait())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--dry-run"], "add -m and hydra/launcher=slurm"),
        (["-m", "seed=1,2", "--dry-run"], "add -m and hydra/launcher=slurm"),
        (["hydra/launcher=slurm"], "hydra/launcher=slurm submits sweeps: add -m"),
        (["-m", "seed=1,2", "hydra/launcher=slurm", "hydra.launcher.partiton=x"], "There is no setting hydra.launcher.partiton"),
        (["-m", "seed=1,2", "+hydra.launcher.partiton=x"], "There is no setting hydra.launcher.partiton: hydra.launcher has n_jobs."),
        (["-m", "seed=1,2", "hydra.launcher.n_jobs=0"], "hydra.launcher.n_jobs=0 must be 1 or more"),
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
