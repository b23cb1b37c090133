"""`sync`, against a server of Weights & Biases on loopback."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from persona_exp.training.experiment_trackers import TrackedRun, open_tracker
from tests.cli.conftest import SWEEP, mine
from tests.conftest import ROOT
from tests.training.curves import of_wandb
from tests.wandb_server import KEY, Server

# A run is recorded, and uploaded, by processes of their own.
pytestmark = pytest.mark.long

ONE, TWO, OTHER = "aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc"
FINISHED, STOPPED = {"status": "finished"}, {"status": "interrupted", "cause": "signal"}


@pytest.fixture
def synced(server, tmp_path):
    """`synced("SWEEP")`: exit code and what the command printed, in a process of its own, for wandb reads its environment once."""

    def run(*arguments, key=KEY):
        command = [sys.executable, "-m", "persona_exp.cli.main", "sync", *arguments]
        variables = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
        variables |= {"PYTHONPATH": str(ROOT), "WANDB_BASE_URL": server.url, **({"WANDB_API_KEY": key} if key else {})}
        done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=300, check=False)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def server(monkeypatch, tmp_path):
    """The server, of which this process knows nothing: it records without a key, as a compute node does."""
    made = Server()
    for name in ("WANDB_PROJECT", "WANDB_RUN_GROUP", "WANDB_TAGS", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "settings"))
    yield made
    made.close()


def record(folder: Path, attempt: int, first: int, last: int) -> None:
    """Steps `first` to `last` of an attempt, recorded offline as training does."""
    own = folder / "attempts" / f"{attempt:04}"
    run = TrackedRun(folder.name, "novels", SWEEP, ("Ada", "lora"), {"seed": 3}, {})
    tracker = open_tracker("wandb", run, own, first - 1)
    for step in range(first, last + 1):
        tracker.log(step, {"loss": 1 / step})
    tracker.close()
    of_wandb(own)


def steps(server: Server, trial_id: str) -> list[int]:
    return [json.loads(line)["train/global_step"] for line in server.runs[trial_id]["history"]]


def entries(answer: str, kind: str) -> list[tuple[str, int]]:
    return [(one["trial_id"], one["attempt"]) for one in json.loads(answer)[kind]]


def test_each_attempt_is_uploaded_once_and_a_trials_attempts_are_one_run(desk, synced, server, tmp_path):
    folder = desk.trial(ONE, [STOPPED, FINISHED])
    desk.sweep({ONE: 8, TWO: 16})
    desk.trial(TWO, [FINISHED])
    desk.trial(OTHER, [FINISHED])
    record(folder, 1, 1, 4)
    record(folder, 2, 4, 6)
    record(desk.path / "trials" / OTHER, 1, 1, 2)
    code, out, _ = synced(SWEEP, "--dry-run", "--json")
    assert (code, entries(out, "pending"), server.runs) == (0, [(ONE, 1), (ONE, 2)], {})
    code, out, _ = synced(SWEEP)
    assert code == 0
    assert out.splitlines() == [f"uploaded: trial {ONE}, attempt {number}, {server.url}/readers/novels/runs/{ONE}" for number in (1, 2)]
    assert set(server.runs) == {ONE}
    run = server.runs[ONE]
    # Step 4, which the first attempt had not saved, was computed twice.
    assert (steps(server, ONE), run["resumed"]) == ([1, 2, 3, 4, 4, 5, 6], 1)
    shown = [run["variables"][name] for name in ("project", "groupName", "displayName", "tags")]
    assert shown == ["novels", SWEEP, ONE, ["Ada", "lora"]]
    assert json.loads(run["variables"]["config"])["seed"] == {"value": 3}
    before = list(run["history"])
    code, out, _ = synced("--json")
    assert (code, entries(out, "already"), entries(out, "uploaded")) == (0, [(ONE, 1), (ONE, 2)], [(OTHER, 1)])
    assert run["history"] == before
    code, out, _ = synced()
    assert (code, out) == (0, "3 attempts of 2 trials had been uploaded before.\n")
    # wandb's own logs of it stay out of the folder in which the command was given.
    assert not (tmp_path / "wandb").exists()
    assert server.authorizations == {"Basic " + base64.b64encode(f"api:{KEY}".encode()).decode()}
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


def test_an_attempt_begun_anew_takes_the_place_of_the_one_before(desk, synced, server):
    folder = desk.trial(ONE, [STOPPED, FINISHED])
    record(folder, 1, 1, 4)
    record(folder, 2, 1, 2)
    assert synced(ONE)[0] == 0
    assert steps(server, ONE)[:2] == [1, 2]
    assert server.runs[ONE]["resumed"] == 0


def test_what_runs_and_what_is_empty_is_left_and_said(desk, synced, server):
    folder = desk.trial(ONE, [STOPPED, mine(status="running")])
    record(folder, 1, 1, 2)
    record(folder, 2, 3, 4)
    (first,) = (folder / "attempts" / "0001").glob("wandb/offline-run-*/*.wandb")
    os.truncate(first, 7)
    code, out, _ = synced()
    assert code == 0
    assert f"left, for it is still running: trial {ONE}, attempt 2" in out
    assert f"left, for it was killed before anything was written: trial {ONE}, attempt 1" in out
    assert server.runs == {}


def test_one_that_is_refused_is_said_and_stays_to_be_uploaded(desk, synced, server):
    for trial_id in (ONE, TWO):
        record(desk.trial(trial_id, [FINISHED]), 1, 1, 2)
    server.refused.add(ONE)
    code, out, _ = synced("--json")
    assert (code, entries(out, "failed"), entries(out, "uploaded")) == (1, [(ONE, 1)], [(TWO, 1)])
    assert "permission denied" in json.loads(out)["failed"][0]["message"]
    server.refused.clear()
    code, out, _ = synced("--json")
    assert (code, entries(out, "uploaded"), entries(out, "already")) == (0, [(ONE, 1)], [(TWO, 1)])


def test_without_a_key_or_a_server_it_is_one_sentence(desk, synced, server):
    record(desk.trial(ONE, [FINISHED]), 1, 1, 2)
    code, out, err = synced(key=None)
    assert (code, out) == (2, "")
    assert err == f"error: There is no key of Weights & Biases ({server.url}) here: run `wandb login`, or set WANDB_API_KEY.\n"
    server.close()
    code, out, err = synced()
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith("error: Weights & Biases cannot be used from here (")
    # What is asked of no server needs no key.
    assert synced("--dry-run", key=None) == (0, f"would upload: trial {ONE}, attempt 1\n", "")


def test_nothing_recorded_is_no_error(desk, synced):
    desk.trial(ONE, [FINISHED])
    code, out, _ = synced()
    assert code == 0
    assert out.startswith("Nothing was recorded offline")
    answer = json.loads(synced(ONE, "--json")[1])
    assert answer == {"dry_run": False} | {key: [] for key in ("pending", "uploaded", "failed", "already", "running", "empty")}
