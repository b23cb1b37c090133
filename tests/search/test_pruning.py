"""Optuna's pruners on what files say; ASHA pauses and promotes."""

import random

import pytest

from persona_exp.search.pruning import StudyPruning, promotable, prunes
from persona_exp.search.rebuilt_study import RebuiltStudy
from tests.search.studies import a_search, ask_once, attempt, evaluate

ASHA = {"_target_": "optuna.pruners.SuccessiveHalvingPruner", "min_resource": 2, "reduction_factor": 3}
MEDIAN = {"_target_": "optuna.pruners.MedianPruner", "n_startup_trials": 3}


def search(tmp_path, pruner, losses, *, pauses=False):
    """A search whose asks have these validation losses."""
    folder = a_search(tmp_path / "runs" / "sweeps" / "s", pruner=pruner, pauses=pauses)
    study = RebuiltStudy(folder)
    for one in losses:
        attempt(folder, ask_once(study).trials[0].trial_id, losses=one, pid=None)
    study.refresh()
    return folder, study


def test_the_median_of_what_has_finished_decides(tmp_path):
    folder, study = search(tmp_path, MEDIAN, [{2: 1.0, 4: 0.5}, {2: 2.0, 4: 1.0}, {2: 3.0, 4: 2.0}, {2: 2.5}, {2: 1.5}])
    assert not prunes(study, 3), "nothing has finished yet"
    for ask in study.asks[:3]:
        evaluate(folder, ask)
    study.refresh()
    assert [prunes(study, number) for number in (3, 4)] == [True, False]


def test_asha_pauses_all_but_the_best_third_and_promotes_when_others_are_worse(tmp_path):
    folder, study = search(tmp_path, ASHA, [{2: 1.0}, {2: 2.0}, {2: 1.5}], pauses=True)
    pruning = StudyPruning(study)
    assert [pruning.verdict(ask.trials[0].trial_id) for ask in study.asks] == [None, "paused", "paused"]
    for number in (1, 2):
        attempt(
            folder,
            study.asks[number].trials[0].trial_id,
            losses={2: (2.0, 1.5)[number - 1]},
            status="interrupted",
            cause="paused",
            search="s",
        )
    study.refresh()
    assert promotable(study) == []
    for loss in (3.0, 3.1, 3.2):
        attempt(folder, ask_once(study).trials[0].trial_id, losses={2: loss}, pid=None)
    study.refresh()
    assert [ask.number for ask in promotable(study)] == [2], "of six the best two"


def test_a_promoted_trial_is_judged_at_its_next_rung(tmp_path):
    losses = [{2: 1.0, 4: 0.9, 6: 0.5}, {2: 1.1, 4: 0.8, 6: 0.6}, {2: 1.2, 4: 0.7, 6: 0.7}, *({2: 5.0 + n} for n in range(6))]
    _, study = search(tmp_path, ASHA, losses, pauses=True)
    assert [prunes(study, number) for number in range(3)] == [False, True, True]


@pytest.mark.parametrize("pruner", [ASHA, MEDIAN, {"_target_": "optuna.pruners.HyperbandPruner", "min_resource": 2, "max_resource": 18}])
def test_the_verdict_does_not_depend_on_who_computes_it(tmp_path, pruner):
    draw = random.Random(0)
    curves = [{step: draw.random() / step for step in range(2, 2 * draw.randint(1, 9) + 1, 2)} for _ in range(24)]
    folder, study = search(tmp_path, pruner, curves)
    for ask in study.asks[::2]:
        evaluate(folder, ask)
    kept = RebuiltStudy(folder)
    kept.refresh()
    study.refresh()
    running = [number for number in range(24) if number % 2]
    first = [prunes(study, number) for number in running]
    assert first == [prunes(kept, number) for number in reversed(running)][::-1]
    assert set(first) == {True, False}


def test_a_damaged_record_of_another_trial_stops_nobody_else(tmp_path):
    folder, study = search(tmp_path, ASHA, [{2: 1.0}, {2: 2.0}])
    (folder.parent.parent / "trials" / "a00000000001" / "attempts" / "0001.json").write_text("")
    assert StudyPruning(study).verdict("a00000000000") is None
    assert [one.state for one in study.results] == ["running", "damaged"]


def test_a_loss_that_is_no_number_is_worse_than_any(tmp_path):
    folder, study = search(tmp_path, ASHA, [{2: 1.0}, {2: None}, {2: 3.0}])
    assert [prunes(study, number) for number in range(3)] == [False, True, True]
    evaluate(folder, study.asks[1])
    study.refresh()
    assert prunes(study, 2)


def test_a_paused_trial_that_a_person_cancelled_is_promoted_no_more(tmp_path):
    folder, study = search(tmp_path, ASHA, [{2: 1.0}, *({2: 5.0 + n} for n in range(5))], pauses=True)
    attempt(folder, "a00000000000", losses={2: 1.0}, status="interrupted", cause="paused", search="s")
    study.refresh()
    assert [ask.number for ask in promotable(study)] == [0]
    (folder.parent.parent / "trials" / "a00000000000" / "cancel.json").write_text("{}")
    study.refresh()
    assert (promotable(study), study.results[0].state) == ([], "failed")


def test_a_trial_of_no_ask_is_left_alone(tmp_path):
    _, study = search(tmp_path, ASHA, [{2: 1.0}])
    assert StudyPruning(study).verdict("elsewhere") is None
