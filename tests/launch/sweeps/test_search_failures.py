"""A search is held once more of it fails than may; settings that do not train are part of searching."""

import pytest

from persona_exp.launch.recovery import sweep_hold
from persona_exp.launch.sweeps.search_failures import hold_if_too_much_failed
from persona_exp.search.rebuilt_study import RebuiltStudy
from tests.search.studies import a_search, ask_once, attempt, evaluate


def asked(folder, failed, finished):
    study = RebuiltStudy(folder)
    for number in range(failed + finished):
        ask = ask_once(study)
        if number < failed:
            attempt(folder, ask.trials[0].trial_id, status="failed", cause="FloatingPointError", message="the loss is nan")
        else:
            evaluate(folder, ask)
    ask_once(study)


@pytest.mark.parametrize(
    ("failed", "finished", "rate", "held"),
    [(3, 0, 0.5, False), (3, 1, 0.5, True), (2, 2, 0.5, False), (1, 9, 0.0, True), (10, 0, 1.0, False)],
)
def test_a_fraction_of_what_has_settled_decides(tmp_path, failed, finished, rate, held):
    folder = a_search(tmp_path / "runs" / "sweeps" / "s", max_failure_rate=rate)
    asked(folder, failed, finished)
    assert hold_if_too_much_failed(folder) == held
    if held:
        said = sweep_hold.read(folder)["message"]
        assert f"{failed} of {failed + finished} asks have failed" in said
        assert "the loss is nan" in said
        assert sweep_hold.remove(folder)
        assert not hold_if_too_much_failed(folder), "a person has seen these"
