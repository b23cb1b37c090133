"""benchmarks/looking.py seals real trials, in every state, and says what sealing and looking took."""

import json
import subprocess
import sys

import pytest

from persona_exp.cli.sweep_status import sweep_statuses
from persona_exp.trial.seal_verification import verify
from tests.conftest import ROOT, environment

pytestmark = pytest.mark.usefixtures("one_copy_of_the_code")


@pytest.fixture
def looking(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import looking

    looking.register_schema()
    return looking


def test_its_trials_are_sealed_and_stand_as_it_says(looking, tmp_path, monkeypatch):
    rows, taken = looking.seal(tmp_path / "runs", 40, "engine=noop")
    assert 0 < taken["least"] <= taken["mean"]
    for row in rows[:2]:
        verify(row.trial.path)
    assert looking.files_a_trial(tmp_path / "runs") == 3
    running = looking.write_records(tmp_path / "runs", rows)
    monkeypatch.setenv("PATH", looking.with_queue(tmp_path)["PATH"])
    (standing,) = sweep_statuses(tmp_path / "runs", [looking.SWEEP])
    # What was interrupted or not begun waits in the queue.
    assert standing.counts == {"finished": 28, "running": 4, "queued": 6, "failed": 2}
    beats = [one.record["heartbeat"] for one in running]
    with looking.changing(running):
        while [one.record["heartbeat"] for one in running] == beats:
            pass
    assert standing.queue
    (standing,) = sweep_statuses(tmp_path / "runs", [looking.SWEEP])
    assert sum(standing.counts.values()) == 40


@pytest.mark.long
def test_a_small_one(tmp_path):
    command = [sys.executable, str(ROOT / "benchmarks" / "looking.py"), "--json", "--trials", "20", "--small", "20", "--repeats", "1"]
    done = subprocess.run(command, cwd=ROOT, env=environment(tmp_path), capture_output=True, text=True, check=True)
    (line,) = done.stdout.splitlines()
    told = json.loads(line)
    assert (told["name"], told["unit"], told["n"], told["files_a_trial"]) == ("looking", "CPU seconds", 1, 3)
    calls = [one for states in told["status"]["20"].values() for one in states.values()]
    assert told["ours"] == max(one["cpu_seconds"] for one in calls)
    assert told["ratio"] == told["baseline"] / told["ours"]
    assert all(0 < one["peak_mb"] < told["sealing_peak_mb"] for one in calls)
