"""The figures of a search, drawn from the record that the launcher writes."""

import json

import pytest

from analysis.asked_trials import near_limits, read_search_results
from analysis.search_report import draw_search, main
from persona_exp.search.ask_files import ask_path
from persona_exp.search.rebuilt_study import RebuiltStudy
from persona_exp.search.search_record import write_search_record
from persona_exp.search.study_settings import WarmStart
from tests.search.studies import SPACE, OneMethod, a_search, ask_once, attempt, evaluate

STARTED, ENDED = "2026-11-30T08:00:00+00:00", "2026-11-30T08:05:00+00:00"
ONE = {"search_history", "search_slices", "search_parallel", "search_contour", "search_timeline"}


def recorded(folder, asks, composed=None, *, values=lambda ask: {}, finished=lambda ask: True):
    """Ask, evaluate what is to finish, and write the record."""
    study = RebuiltStudy(folder)
    for _ in range(asks):
        ask = ask_once(study, composed)
        attempt(folder, ask.trials[0].trial_id, started=STARTED, ended=ENDED, status="finished" if finished(ask) else "failed")
        if finished(ask):
            evaluate(folder, ask, **values(ask))
    study.refresh()
    write_search_record(study)
    return study


def drawn(folder):
    """Draw, and return the names of the figures."""
    paths = draw_search(folder)
    assert all(path.stat().st_size > 1000 for path in paths)
    return {path.stem for path in paths}


def test_one_objective_with_failures_torn_files_and_a_warm_start(tmp_path):
    warm = WarmStart("aaaabbbbcccc", "before", {"optim.lr": "0.001", "lora.r": "8", "lora.dropout": "0.1"}, (0.1,))
    folder = a_search(tmp_path / "runs" / "sweeps" / "s", warm=(warm,))
    recorded(folder, 9, finished=lambda ask: ask.number % 3)
    ask_path(folder, 9).write_text("{torn")
    study = RebuiltStudy(folder)
    study.refresh()
    write_search_record(study)
    found = read_search_results(folder)
    assert [one.number for one in found.trials] == [-1, *range(10)]
    assert (len(found.finished), found.best) == (7, {-1})
    assert drawn(folder) == ONE


@pytest.mark.parametrize("way", ["minimize", "maximize"])
def test_two_objectives_have_a_front(way, tmp_path):
    folder = a_search(tmp_path / "runs" / "sweeps" / "s", objectives=("bits_per_byte", "seconds"), directions=(way, "minimize"))
    recorded(folder, 22, values=lambda ask: {"seconds": float(ask.params["lora.r"]) + ask.number / 100})
    found = read_search_results(folder)
    assert found.ranked
    assert drawn(folder) == {*ONE, "search_pareto", "search_importance"}


def test_settings_that_only_some_trials_have(tmp_path):
    space = ("method=choice(lora,full)", *SPACE)
    methods = OneMethod({"lora": "lora", "full": "full"})
    folder = a_search(tmp_path / "runs" / "sweeps" / "s", space, composed={"method": "lora"})
    study = recorded(folder, 12, methods)
    assert any("lora.r" not in ask.params for ask in study.asks)
    assert drawn(folder) == ONE


def test_few_results_have_few_figures(tmp_path, capsys):
    folder = a_search(tmp_path / "runs" / "sweeps" / "s", ("lora.r=tag(ordered,choice(4,8))",))
    recorded(folder, 1)
    assert drawn(folder) == {"search_history", "search_timeline"}
    other = tmp_path / "runs" / "sweeps" / "no_search"
    assert draw_search(other) == []
    (folder / "report" / "search.json").write_text(json.dumps({"asks": []}))
    assert main([str(folder)]) == 2
    assert "--figures` writes it again" in capsys.readouterr().err


def test_far_values_do_not_hide_the_others():
    assert near_limits([1.0, 1.1, 1.2, 1.3, 40.0]) == (1.0, 1.3)
    assert near_limits([2.0]) == (2.0, 2.0)
