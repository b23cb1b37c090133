"""One trial without -m: a sweep of one, with its folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from persona_exp.trial.recorded_sweep import read_sweep
from tests.conftest import ROOT, environment
from tests.launch.rehearsed import until

pytestmark = pytest.mark.long

ASKED = ("engine=noop", "model=tiny", "seed=3")


def attempts(runs: Path) -> list[Path]:
    return sorted(runs.glob("trials/*/attempts/*.json"))


def test_it_leaves_a_sweep_of_one_and_is_not_run_twice(run_py, tmp_path):
    runs = tmp_path / "runs"
    planned = run_py(*ASKED, "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert not runs.exists()
    done = run_py(*ASKED, "sweep.note=a try")
    assert done.returncode == 0, done.stderr
    assert "Nothing is swept" not in done.stderr
    (folder,) = (runs / "sweeps").iterdir()
    assert f"Sweep {folder.name}: 1 trial, 0 finished, 1 to run." in planned.stdout
    assert (runs / "latest").resolve() == folder.resolve()
    (trial,) = read_sweep(runs, folder.name).trials
    assert (trial.role, read_sweep(runs, folder.name).note) == ("adapter", "a try")
    before = attempts(runs)
    # The sweep of one that -m makes is the same.
    for again in (run_py(*ASKED), run_py("-m", *ASKED)):
        assert again.returncode == 0, again.stderr
        assert f"Sweep {folder.name}: 1 trial, 1 finished, 0 to run." in again.stdout
    assert [one.name for one in (runs / "sweeps").iterdir()] == [folder.name]
    assert attempts(runs) == before


@pytest.mark.parametrize("told", [False, True])
def test_cancelled_it_ends_for_good_until_the_command_is_given_anew(run_py, tmp_path, told):
    """With 75, its job would go back into the queue: whether its worker sees it or the command is told to stop."""
    runs, slowly = tmp_path / "runs", {**environment(tmp_path), "PERSONA_EXP_NOOP_SECONDS": "60"}
    command = [sys.executable, str(ROOT / "run.py"), *ASKED]
    with subprocess.Popen(command, cwd=ROOT, env=slowly, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        until(lambda: [json.loads(path.read_text())["status"] for path in attempts(runs)] == ["running"])
        (attempts(runs)[0].parents[1] / "cancel.json").write_text("{}")
        if told:
            process.terminate()
        said, _ = process.communicate(timeout=300)
    assert process.returncode == 1, said
    assert "1 of 1 trials is missing" in said
    assert [json.loads(path.read_text())["status"] for path in attempts(runs)] == ["interrupted"]
    again = run_py(*ASKED)
    assert again.returncode == 0, again.stderr
    assert "1 trial had been cancelled: the command takes that back." in again.stdout


def test_the_trial_of_a_seal_is_such_a_sweep_too(run_py, tmp_path):
    assert run_py(*ASKED).returncode == 0
    (seal,) = (tmp_path / "runs").glob("trials/*/seals/*.json")
    command = [sys.executable, "-m", "persona_exp.launch.launch_trial", str(seal)]
    done = subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "1 trial, 1 finished, 0 to run." in done.stdout
    assert len(list((tmp_path / "runs").glob("trials/*/seals/*.json"))) == 1
