"""What `status` says of a sweep of several hundred trials is what their files say when it is asked, whatever they said before."""

import json
import os
import shutil

import pytest

from persona_exp.trial import trial_status
from tests.cli.conftest import SWEEP, write

TRIALS = [f"{number:012x}" for number in range(1, 241)]
ENDED, LOST, RETRIED = TRIALS[5], TRIALS[120], TRIALS[230]


@pytest.fixture(params=[0.0, 1e9], ids=["several readers", "one reader"])
def large(request, desk, monkeypatch):
    """A sweep on several nodes, of which most is finished; one trial runs and one failed."""
    monkeypatch.setattr(trial_status, "WAITS", request.param)
    for one in TRIALS:
        desk.trial(one, [{"status": "finished"}])
        (desk.path / "trials" / one / "evaluations" / f"e{one}"[:12]).mkdir(parents=True)
    shutil.rmtree(desk.path / "trials" / ENDED / "evaluations")
    shutil.rmtree(desk.path / "trials" / RETRIED / "evaluations")
    desk.attempt(desk.path / "trials" / ENDED, 1, progress={"phase": "training", "step": 3, "of": 40})
    desk.attempt(desk.path / "trials" / RETRIED, 1, status="failed", cause="ValueError", message="loss is not finite")
    desk.sweep(dict.fromkeys(TRIALS, 8) | {one: rank for rank, one in enumerate(TRIALS)})
    return desk


def counts(persona_exp):
    """As the list of sweeps has them, and the sweep's own page."""
    code, out, error = persona_exp("status", SWEEP, "--json")
    assert (code, error) == (0, "")
    own = json.loads(out)
    (listed,) = json.loads(persona_exp("status", "--json")[1])["sweeps"]
    assert own["counts"] == listed["counts"]
    states = [trial["status"] for trial in own["trials"]]
    assert own["counts"] == {status: states.count(status) for status in own["counts"]}
    assert sum(own["counts"].values()) == len(TRIALS)
    return own["counts"]


def test_a_trial_that_ends(large, persona_exp):
    folder = large.path / "trials" / ENDED
    assert counts(persona_exp) == {"finished": 238, "running": 1, "failed": 1}
    large.attempt(folder, 1, progress={"phase": "training", "step": 4, "of": 40})
    trial = next(one for one in json.loads(persona_exp("status", SWEEP, "--json")[1])["trials"] if one["trial_id"] == ENDED)
    assert (trial["status"], trial["step"]) == ("running", 4)
    (folder / "evaluations" / f"e{ENDED}"[:12]).mkdir(parents=True)
    large.attempt(folder, 1, status="finished")
    assert counts(persona_exp) == {"finished": 239, "failed": 1}


def test_a_trial_that_was_retried_after_it_failed(large, persona_exp):
    folder = large.path / "trials" / RETRIED
    assert counts(persona_exp)["failed"] == 1
    write(folder / "retries" / "0001", "")
    assert counts(persona_exp) == {"finished": 238, "running": 1, "sealed": 1}
    large.attempt(folder, 2)
    assert counts(persona_exp) == {"finished": 238, "running": 2}
    large.attempt(folder, 2, status="failed", cause="ValueError", message="again")
    assert counts(persona_exp) == {"finished": 238, "running": 1, "failed": 1}


def test_a_record_that_is_damaged_after_the_trial_had_finished(large, persona_exp):
    record = large.path / "trials" / LOST / "attempts" / "0001.json"
    whole = record.read_bytes()
    assert counts(persona_exp)["finished"] == 238
    # As long as before, and of the same time.
    stamp = record.stat()
    record.write_bytes(b"?" * len(whole))
    os.utime(record, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    # All that is asked of it is published.
    assert counts(persona_exp)["finished"] == 238
    assert "damaged" in persona_exp("why", LOST)[1]
    record.write_bytes(whole)
    assert counts(persona_exp)["finished"] == 238


def test_one_trial_is_told_of_without_reading_the_others(large, persona_exp):
    write(large.path / "trials" / LOST / "attempts" / "0001.json", "?")
    assert "is running" in persona_exp("why", ENDED)[1]
    code, out, _ = persona_exp("show", RETRIED)
    assert (code, f"of {SWEEP}" in out) == (0, True)


def test_a_trial_that_is_cancelled_and_one_whose_folder_is_gone(large, persona_exp):
    shutil.rmtree(large.path / "trials" / LOST)
    write(large.path / "trials" / RETRIED / "cancel.json", json.dumps({"by": "person"}))
    assert counts(persona_exp) == {"finished": 237, "running": 1, "cancelled": 1, "missing": 1}
