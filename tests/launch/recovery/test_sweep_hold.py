"""What keeps a sweep from starting anything new."""

import json

import pytest

from persona_exp.launch.recovery import sweep_hold
from tests.launch.rehearsed import SEAL


@pytest.fixture
def sweep(tmp_path):
    """A sweep's folder, and a way to say how a trial's last attempt ended."""
    folder = tmp_path / "sweeps" / "rehearsal"
    folder.mkdir(parents=True)

    def failed(trial_id, cause, attempt=1, micro_batch_size=None):
        trial = tmp_path / "trials" / trial_id
        (trial / "attempts").mkdir(parents=True, exist_ok=True)
        (trial / "seals").mkdir(exist_ok=True)
        (trial / "seals" / SEAL).write_text(json.dumps({**FACTS, "may": {"halve_micro_batch": True}}))
        record = {"attempt": attempt, "host": "x", "pid": 1, "status": "failed", "cause": cause, "message": "why", "seal": SEAL}
        record["micro_batch_size"] = micro_batch_size
        (trial / "attempts" / f"{attempt:04}.json").write_text(json.dumps(record))

    def check():
        return sweep_hold.hold_if_three_alike(folder, tmp_path, ["a", "b", "c", "d"])

    return folder, failed, check


FACTS = {"engine": "sft", "method": "lora", "evaluations": {}, "config": "config.yaml", "data_id": "0" * 12, "code_folder": "0" * 12}


def test_three_failures_of_one_cause_hold(sweep):
    folder, failed, check = sweep
    for trial_id, cause in (("a", "ValueError"), ("b", "ValueError"), ("c", "KeyError")):
        failed(trial_id, cause)
    assert check() is None
    failed("d", "ValueError")
    assert check()["trials"] == ["a", "b", "d"]
    assert sweep_hold.read(folder)["cause"] == "ValueError"


def test_what_goes_on_with_half_the_micro_batch_has_not_failed(sweep):
    _, failed, check = sweep
    for trial_id in "abc":
        failed(trial_id, "out_of_memory", micro_batch_size=8)
    assert check() is None
    for trial_id in "abc":
        failed(trial_id, "out_of_memory", micro_batch_size=1)
    assert check()


def test_a_hold_that_a_person_lifted_does_not_come_back_for_the_same_failures(sweep):
    folder, failed, check = sweep
    for trial_id in "abc":
        failed(trial_id, "ValueError")
    assert check()
    assert sweep_hold.remove(folder)
    assert not sweep_hold.remove(folder)
    assert check() is None
    failed("d", "ValueError")
    assert check() is None
    for trial_id in "ab":
        failed(trial_id, "ValueError", attempt=2)
    assert check()


def test_the_first_of_two_holds_stands(sweep):
    folder, _, _ = sweep
    assert sweep_hold.create(folder, cause="canary", message="first", trials=["a"])
    assert not sweep_hold.create(folder, cause="canary", message="second", trials=["b"])
    assert sweep_hold.read(folder)["message"] == "first"
