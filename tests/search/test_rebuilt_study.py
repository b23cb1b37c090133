"""A study is rebuilt from files alone, whatever is torn, foreign or asked at the same moment."""

import json

import pytest

from persona_exp.search.ask_files import Ask, AskedTrial, ask_numbers, ask_path, create_ask, numbers_of, ranges, read_ask
from persona_exp.search.rebuilt_study import RebuiltStudy
from tests.search.studies import OneMethod, a_search, ask_once, attempt, evaluate


@pytest.fixture
def folder(tmp_path):
    return a_search(tmp_path / "runs" / "sweeps" / "s")


def states(folder):
    study = RebuiltStudy(folder)
    study.refresh()
    return [one.state for one in study.results], [one.state.name for one in study.study.get_trials(deepcopy=False)]


def test_results_are_read_off_the_trials(folder):
    study = RebuiltStudy(folder)
    asks = [ask_once(study) for _ in range(8)]
    evaluate(folder, asks[0])
    attempt(folder, "a00000000001", pid=None, status="running")
    attempt(folder, "a00000000002", status="interrupted", cause="pruned", search="s")
    attempt(folder, "a00000000003", status="interrupted", cause="paused", search="s")
    attempt(folder, "a00000000004", status="interrupted", cause="pruned", search="another")
    attempt(folder, "a00000000005", status="failed", cause="ValueError", message="no")
    attempt(folder, "a00000000006", status="interrupted", cause="preempted")
    found, in_study = states(folder)
    assert found == ["complete", "running", "pruned", "paused", "open", "failed", "open", "open"]
    assert in_study == ["COMPLETE", "RUNNING", "PRUNED", "PRUNED", "RUNNING", "FAIL", "RUNNING", "RUNNING"]
    study.refresh()
    assert [one.state for one in study.results] == found
    assert study.known == "0,2-3,5"


def test_a_study_kept_up_to_date_is_one_made_anew(folder):
    kept = RebuiltStudy(folder)
    for number in range(12):
        ask = ask_once(kept)
        if number % 3 == 1:
            attempt(folder, ask.trials[0].trial_id, status="interrupted", cause="paused", search="s")
        if number % 3 == 0:
            evaluate(folder, ask)
    kept.refresh()
    evaluate(folder, kept.asks[1])
    kept.refresh()
    new = RebuiltStudy(folder)
    new.refresh()

    def described(study):
        trials = study.study.get_trials(deepcopy=False)
        return [(one.number, one.state, one.values, one.params, one.system_attrs) for one in trials]

    assert described(kept) == described(new)


@pytest.mark.parametrize("content", ["", "{", '{"number": 3}', "[]", "null", '{"number": 9, "overrides": {}, "params": {}, "trials": []}'])
def test_a_torn_or_foreign_file_stops_nobody_and_is_no_result(folder, content):
    study = RebuiltStudy(folder)
    for _ in range(3):
        evaluate(folder, ask_once(study))
    ask_path(folder, 3).write_text(content)
    (folder / "asks" / "notes.txt").write_text("mine")
    (folder / "asks" / ".000004.json.swp").write_text("{")
    ask = ask_once(study)
    assert ask.number == 4
    new = RebuiltStudy(folder)
    new.refresh()
    assert (new.damaged, [one.state for one in new.results]) == ([3], ["complete"] * 3 + ["damaged", "open"])
    assert new.study.get_trials()[4].params == ask.params


def test_what_cannot_be_read_far_ahead_is_no_ask(folder):
    (folder / "asks").mkdir()
    ask_path(folder, 999_999).touch()
    study = RebuiltStudy(folder)
    assert [ask_once(study).number for _ in range(3)] == [0, 1, 2]
    ask_path(folder, 4).mkdir()
    assert ask_numbers(folder) == [0, 1, 2]
    assert [ask_once(study).number for _ in range(2)] == [3, 5], "what is in the way of the next counts"
    assert RebuiltStudy(folder).damaged == []
    new = RebuiltStudy(folder)
    new.refresh()
    assert (new.damaged, len(new.asks)) == ([4], 6)


@pytest.mark.parametrize("params", [{"optim.beta": 0.5}, {"optim.lr": 2.0, "lora.r": 4, "lora.dropout": 0.1}])
def test_an_ask_of_another_search_stops_nobody(folder, params):
    study = RebuiltStudy(folder)
    ask_once(study)
    trials = (AskedTrial("abc", "seal.json", "e"),)
    assert create_ask(folder, Ask(1, {}, params, trials))
    assert ask_once(study).number == 2
    assert study.damaged == [1]


def test_of_two_that_ask_at_once_each_has_a_number_of_its_own(folder, monkeypatch):
    first, second = RebuiltStudy(folder), RebuiltStudy(folder)
    one = ask_once(first)
    # The second looked before the first had linked its ask.
    monkeypatch.setattr(second, "refresh", lambda: None)
    from tests.search import studies

    original = studies.create_ask

    def late(folder, ask):
        monkeypatch.undo()
        return original(folder, ask)

    monkeypatch.setattr(studies, "create_ask", late)
    two = ask_once(second)
    assert (one.number, two.number) == (0, 1)
    assert ask_numbers(folder) == [0, 1]


def test_the_winner_of_a_link_stands(folder):
    made = [Ask(0, {"a": text}, {"a": text}, (AskedTrial(text * 12, "5ea15ea1.json", None),)) for text in "ab"]
    assert [create_ask(folder, one) for one in made] == [True, False]
    assert read_ask(folder, 0) == made[0]


def test_full_fine_tuning_is_asked_no_rank(tmp_path):
    space = ("method=choice(lora,full)", "lora.r=choice(4,8)", "optim.lr=interval(0.1,0.2)")
    methods = {"lora": "lora", "full": "full"}
    folder = a_search(tmp_path / "runs" / "sweeps" / "s", space, composed={"method": methods})
    study = RebuiltStudy(folder)
    asks = [ask_once(study, OneMethod(methods)) for _ in range(20)]
    by_method = {method: {frozenset(ask.overrides) for ask in asks if ask.overrides["method"] == method} for method in methods}
    assert by_method == {"lora": {frozenset({"method", "lora.r", "optim.lr"})}, "full": {frozenset({"method", "optim.lr"})}}


def test_several_seeds_make_one_objective(folder):
    ask = Ask(0, {"lora.r": "4"}, {"lora.r": 4}, tuple(AskedTrial(one * 12, "5ea15ea1.json", f"e{one * 11}") for one in "ab"))
    create_ask(folder, ask)
    for trial, value in (("a" * 12, 1.0), ("b" * 12, 2.0)):
        assert states(folder)[0] == ["open"]
        evaluate(folder, Ask(0, {}, {}, tuple(one for one in ask.trials if one.trial_id == trial)), value)
    study = RebuiltStudy(folder)
    study.refresh()
    assert study.results[0].values == (1.5,)


def test_a_constraint_that_was_broken_is_known(tmp_path):
    folder = a_search(tmp_path / "runs" / "sweeps" / "s", constraints=("perplexity<=3",))
    study = RebuiltStudy(folder)
    evaluate(folder, ask_once(study), 0.5, perplexity=4.0)
    study.refresh()
    assert study.study.get_trials()[0].constraints == {"perplexity<=3": 1.0}
    assert study.results[0].values == (0.5,)


def test_what_a_trial_took_is_read_once_it_has_ended(tmp_path):
    folder = a_search(tmp_path / "runs" / "sweeps" / "s", objectives=("seconds",))
    study = RebuiltStudy(folder)
    evaluate(folder, ask_once(study))
    attempt(folder, "a00000000000", pid=None, status="running", started="2026-12-01T00:00:00+00:00", own_seconds=1.0)
    study.refresh()
    assert study.results[0].state == "running"
    ended = {"started": "2026-12-01T00:00:00+00:00", "ended": "2026-12-01T00:01:30+00:00", "own_seconds": 90.0}
    attempt(folder, "a00000000000", pid=None, status="finished", **ended)
    study.refresh()
    assert study.results[0].values == (90.0,)


def test_an_older_process_goes_on_when_a_range_was_widened(tmp_path):
    narrow, wide = ("optim.lr=interval(0.1,0.2)",), ("optim.lr=interval(0.01,2)",)
    folder = a_search(tmp_path / "runs" / "sweeps" / "s", narrow)
    older = RebuiltStudy(folder)
    ask_once(older)
    a_search(folder, wide)
    newer = RebuiltStudy(folder)
    while 0.1 <= float(ask_once(newer).overrides["optim.lr"]) <= 0.2:
        pass
    older.refresh()
    assert len(older.results) == len(newer.asks)


def test_a_file_that_a_listing_was_ahead_of_is_read_later(folder):
    study = RebuiltStudy(folder)
    ask = ask_once(study)
    late = ask_path(folder, 0).read_text()
    ask_path(folder, 0).write_text("")
    other = RebuiltStudy(folder)
    other.refresh()
    assert other.damaged == [0]
    ask_path(folder, 0).write_text(late)
    other.refresh()
    assert (other.damaged, other.asks[0]) == ([], ask)


def test_numbers_as_ranges():
    assert ranges([0, 1, 2, 5, 7, 8]) == "0-2,5,7-8"
    assert list(numbers_of("0-2,5,7-8")) == [0, 1, 2, 5, 7, 8]
    assert (ranges([]), list(numbers_of(""))) == ("", [])


def test_the_file_is_plain_json(folder):
    ask = ask_once(RebuiltStudy(folder))
    written = json.loads(ask_path(folder, 0).read_text())
    assert written["overrides"] == ask.overrides
    assert written["by"]["pid"]
