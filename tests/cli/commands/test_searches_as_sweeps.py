"""A search is a sweep: what `status`, `why`, `show` and `clean` say of it."""

import json
import os
from pathlib import Path

import pytest
import yaml

from persona_exp.cli.commands import clean
from persona_exp.cli.garbage import GIVEN_UP, References, find_garbage, still_garbage
from persona_exp.cli.main import main
from persona_exp.search.ask_files import ask_path
from persona_exp.search.rebuilt_study import RebuiltStudy
from tests.search.studies import a_search, ask_once, attempt, evaluate

ASHA = {"_target_": "optuna.pruners.SuccessiveHalvingPruner", "min_resource": 2, "reduction_factor": 2, "bootstrap_count": 0}
DAYS_AGO = 1.7e9


def sweep(folder, trials=()):
    """Write the sweep.yaml of a search while it runs, which lists none of its asks."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"name": folder.name, "command": f"python run.py -m {folder.name}", "swept": [], "created": "2026-12-01T00:00:00+00:00"}
    (folder / "sweep.yaml").write_text(yaml.safe_dump({**content, "trials": list(trials)}))


def given_up(folder, trial, cause, losses):
    """Write an attempt that the search gave up, with a checkpoint that is some days old."""
    step = max(losses)
    path = attempt(
        folder,
        trial,
        losses=losses,
        status="interrupted",
        cause=cause,
        search="s",
        message=f"{cause} by s at step {step}",
        checkpoint_step=step,
    )
    checkpoint = path.with_suffix("") / "checkpoints" / f"step-{step:08}" / "manifest.json"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_text("{}")
    for one in (checkpoint, checkpoint.parent, checkpoint.parent.parent):
        os.utime(one, (DAYS_AGO, DAYS_AGO))
    return checkpoint.parent.parent


def measured(folder, ask):
    """Evaluate an ask in the form in which trials leave it."""
    evaluate(folder, ask)
    (asked,) = ask.trials
    path = folder.parents[1] / "trials" / asked.trial_id / "evaluations" / asked.eval_id / "metrics.json"
    value = json.loads(path.read_text())["metrics"]["bits_per_byte"]["value"]
    metrics = {"bits_per_byte": {"value": value, "n": 9, "unit": "bits"}}
    path.write_text(json.dumps({"condition": "adapter", "split": "validation", "metrics": metrics}))


@pytest.fixture
def search(tmp_path, monkeypatch) -> Path:
    """A search of five trials, four of them asked for: one finished, one pruned, two paused."""
    monkeypatch.setenv("PERSONA_EXP_RUNS", str(tmp_path / "runs"))
    folder = a_search(tmp_path / "runs" / "sweeps" / "s", n_trials=5, pruner=ASHA, pauses=True)
    sweep(folder)
    study = RebuiltStudy(folder)
    asks = [ask_once(study) for _ in range(4)]
    attempt(folder, "a00000000000", losses={2: 1.0}, status="finished")
    measured(folder, asks[0])
    given_up(folder, "a00000000001", "pruned", {2: 2.0})
    given_up(folder, "a00000000002", "paused", {2: 4.0})
    given_up(folder, "a00000000003", "paused", {2: 3.0, 4: 2.5})
    return folder


def end(search):
    """Ask for the last trial, which finishes."""
    ask = ask_once(RebuiltStudy(search))
    attempt(search, "a00000000004", status="finished")
    measured(search, ask)


def said(capsys, *arguments):
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def test_status_counts_asks_and_tells_paused_from_pruned(search, capsys):
    text = said(capsys, "status", "s")
    assert "4 of 5 asked for (2 paused); 1 finished, 2 interrupted, 1 pruned" in text
    assert "interrupted (paused)" in text
    assert "paused at step 4" in text
    found = json.loads(said(capsys, "status", "s", "--json"))
    assert found["asks"] == {"asked": 4, "of": 5, "refused": 0, "damaged": 0}
    assert [one["status"] for one in found["trials"]] == ["finished", "pruned", "interrupted", "interrupted"]
    ask_path(search, 4).write_text("{torn")
    assert "5 of 5 asked for (1 damaged, 2 paused)" in said(capsys, "status")


def test_a_search_whose_paused_trials_stay_so_is_watched_to_its_end(search, capsys):
    end(search)
    assert said(capsys, "status", "s", "--watch").count("5 of 5 asked for") == 1


def test_why_says_by_which_search_at_which_step_and_what_brings_it_back(search, capsys):
    text = said(capsys, "why", "a00000000003")
    assert "The search s paused it at step 4" in text
    assert "with a validation loss of 2.5000" in text
    assert "from the checkpoint of step 4, once it is among the best" in text
    assert "The search s pruned it at step 2" in said(capsys, "why", "a00000000001")
    end(search)
    assert "The search has ended. What may bring it back" in said(capsys, "why", "a00000000003")


def test_to_another_sweep_it_is_only_interrupted(search, capsys):
    sweep(search.parent / "other", [{"trial_id": "a00000000001", "role": "adapter", "overrides": {}, "evaluations": {}}])
    assert "1 interrupted" in said(capsys, "status", "other")
    text = said(capsys, "why", "a00000000001")
    assert "`python run.py -m other` goes on with it, from the checkpoint of step 2" in text
    assert "It is also part of s." in text


def test_show_has_the_trials_of_its_asks(search, capsys):
    text = said(capsys, "show", "s")
    assert "4 of 5 asked for (2 paused)" in text
    assert "interrupted (paused)" in text
    assert "persona-exp search s" in text


def test_checkpoints_of_an_ended_search_can_go_the_worst_first(search, capsys):
    runs = search.parents[1]

    def found():
        return {one.path.parents[2].name: one for one in find_garbage(runs) if one.kind == GIVEN_UP}

    assert found() == {}, "a search that still asks may promote them"
    end(search)
    offered = found()
    assert {name: one.loss for name, one in offered.items()} == {"a00000000001": 2.0, "a00000000002": 4.0, "a00000000003": 2.5}
    assert [
        line.split("/trials/")[1][:12] for line in clean._text(list(offered.values()), runs, every=True).splitlines() if "/trials/" in line
    ] == [
        "a00000000002",
        "a00000000003",
        "a00000000001",
    ]
    # Tests give trials names that are no ids, which another sweep's files are searched for.
    one = offered["a00000000002"]
    assert still_garbage(runs, one, References(runs))
    settings = json.loads((search / "search.json").read_text())
    (search / "search.json").write_text(json.dumps({**settings, "n_trials": 6}))
    assert not still_garbage(runs, one, References(runs)), "it was extended meanwhile"


def test_what_another_sweep_asks_for_stays(search):
    end(search)
    runs, trial = search.parents[1], "0123456789ab"
    for number in range(5):
        path = ask_path(search, number)
        path.write_text(path.read_text().replace("a00000000002", trial))
    (runs / "trials" / "a00000000002").rename(runs / "trials" / trial)
    assert trial in References(runs).given_up
    sweep(search.parent / "other", [{"trial_id": trial, "role": "adapter", "overrides": {}, "evaluations": {}}])
    assert trial not in References(runs).given_up
