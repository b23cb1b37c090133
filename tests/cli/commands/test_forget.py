"""`forget`: what it hides, how that is taken back, and what `clean` then deletes; runs/latest beside it."""

import json

import pytest

from persona_exp.cli.commands.clean import delete
from persona_exp.cli.garbage import FORGOTTEN, OF_FORGOTTEN, find_garbage
from persona_exp.launch.sweeps import latest_sweep
from persona_exp.trial import forgotten_sweep
from persona_exp.trial.comparability import base_trial_id
from tests.cli.conftest import write

ONE, TWO, THREE, FOUR = "aaaaaaaaaaa1", "aaaaaaaaaaa2", "aaaaaaaaaaa3", "aaaaaaaaaaa4"


@pytest.fixture
def two_sweeps(desk):
    for trial in (ONE, TWO, THREE):
        desk.trial(trial)
        path = desk.path / "trials" / trial / "provenance.json"
        write(path, json.dumps({**json.loads(path.read_text()), "command": "python run.py -m lora.r=8,16"}))
    desk.sweep({ONE: 8, TWO: 16}, "ranks", created="2026-03-01T18:00:00+00:00")
    desk.sweep({TWO: 16, THREE: 32}, "others", created="2026-03-01T17:00:00+00:00")
    return desk


def test_a_forgotten_sweep_is_hidden_counted_and_comes_back(two_sweeps, persona_exp):
    code, out, _ = persona_exp("forget", "ran")
    assert code == 0
    assert "Forgot ranks: nothing was deleted. `persona-exp forget --undo ranks`" in out
    _, out, _ = persona_exp("status")
    assert "ranks" not in out
    assert "others" in out
    assert "1 sweep forgotten: `persona-exp forget` lists" in out
    assert "of no sweep" not in out
    assert persona_exp("forget")[1].strip() == "ranks"
    assert "forgotten: `persona-exp forget --undo ranks`" in persona_exp("status", "ranks")[1]
    assert json.loads(persona_exp("status", "--json")[1])["forgotten"] == ["ranks"]
    assert "Shown again: ranks." in persona_exp("forget", "--undo", "ranks")[1]
    assert "ranks" in persona_exp("status")[1]
    assert "ranks was not forgotten." in persona_exp("forget", "--undo", "ranks")[1]


def test_what_is_forgotten_stands_in_the_way_of_no_abbreviation(desk, persona_exp):
    desk.sweep({}, "ranks")
    desk.sweep({}, "ranks2")
    assert persona_exp("forget", "ranks2")[0] == 0
    assert persona_exp("status", "rank")[0] == 0


def test_clean_deletes_it_with_the_trials_that_no_other_sweep_asks_for(two_sweeps, persona_exp):
    runs = two_sweeps.path
    assert not [one for one in find_garbage(runs, younger=True) if one.kind in (FORGOTTEN, OF_FORGOTTEN)]
    persona_exp("forget", "ranks")
    found = [one for one in find_garbage(runs, younger=True) if one.kind in (FORGOTTEN, OF_FORGOTTEN)]
    assert [(one.path, one.kind) for one in found] == [(runs / "trials" / ONE, OF_FORGOTTEN), (runs / "sweeps" / "ranks", FORGOTTEN)]
    assert delete(runs, found) == found
    assert not (runs / "sweeps" / "ranks").exists()
    assert sorted(path.name for path in (runs / "trials").iterdir()) == [TWO, THREE]


def test_clean_spares_what_came_back_meanwhile(two_sweeps, persona_exp):
    runs = two_sweeps.path
    persona_exp("forget", "ranks")
    found = [one for one in find_garbage(runs, younger=True) if one.kind in (FORGOTTEN, OF_FORGOTTEN)]
    persona_exp("forget", "--undo", "ranks")
    assert delete(runs, found) == []


def test_clean_spares_a_trial_with_a_command_of_its_own_and_a_parent(two_sweeps, persona_exp):
    runs = two_sweeps.path
    path = runs / "trials" / ONE / "provenance.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "command": "python run.py lora.r=8"}))
    persona_exp("forget", "ranks", "others")
    path = runs / "trials" / THREE / "provenance.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "identity": {"lora": {"init_from": TWO}}}))
    assert [one.path.name for one in find_garbage(runs, younger=True) if one.kind == OF_FORGOTTEN] == [THREE]


def test_clean_spares_what_was_sealed_alone_without_a_sweep_and_its_base_model(two_sweeps, persona_exp):
    runs = two_sweeps.path
    identity = {"model": {"digest": "m"}, "data_id": "dada" * 3, "method": {"name": "lora", "quantisation": "none"}, "lora": {"r": 8}}
    base = base_trial_id(identity)
    two_sweeps.trial(base)
    two_sweeps.sweep({ONE: 8}, "ranks", bases={base: {"base": "ebaebaebaeba"}})
    for trial, what in ((ONE, identity), (base, {**identity, "method": {"name": "none", "quantisation": "none"}})):
        path = runs / "trials" / trial / "provenance.json"
        write(path, json.dumps({**json.loads(path.read_text()), "command": "python run.py -m lora.r=8,16", "identity": what}))
    persona_exp("forget", "ranks", "others")
    assert {one.path.name for one in find_garbage(runs, younger=True) if one.kind == OF_FORGOTTEN} == {ONE, TWO, THREE, base}
    path = runs / "trials" / ONE / "provenance.json"
    write(path, json.dumps({**json.loads(path.read_text()), "command": "python run.py lora.r=8"}))
    assert {one.path.name for one in find_garbage(runs, younger=True) if one.kind == OF_FORGOTTEN} == {TWO, THREE}


@pytest.mark.long
def test_a_trial_of_a_sweep_that_is_then_run_alone_outlives_the_sweep(run_py, tmp_path):
    rehearsal = ["engine=noop"]
    run_py("-m", "lora.r=4,8", *rehearsal)
    runs = tmp_path / "runs"
    (sweep,) = (path for path in (runs / "sweeps").iterdir() if path.is_dir())
    run_py("lora.r=4", *rehearsal)
    forgotten_sweep.forget(sweep)
    (gone,) = (one.path for one in find_garbage(runs, younger=True) if one.kind == OF_FORGOTTEN)
    (left,) = (path for path in (runs / "trials").iterdir() if path != gone)
    assert "r: 4" in (left / "config.yaml").read_text()


@pytest.mark.parametrize("command", ["python run.py lora.r=8", "python run.py lora.r=8 cluster.threads=2", "persona_exp.run(config)"])
def test_clean_offers_a_trial_alone_with_the_sweep_of_one_that_it_is(two_sweeps, persona_exp, command):
    runs = two_sweeps.path
    sealed_by(runs, ONE, "python run.py lora.r=8")
    asked_by(runs, "ranks", command)
    persona_exp("forget", "ranks", "others")
    assert ONE in [one.path.name for one in find_garbage(runs, younger=True) if one.kind == OF_FORGOTTEN]


def test_clean_spares_a_trial_sealed_alone_though_a_sweep_of_one_of_another_is_forgotten(two_sweeps, persona_exp):
    runs, alone = two_sweeps.path, "persona_exp.run(config)"
    sealed_by(runs, ONE, alone)
    two_sweeps.trial(FOUR)
    two_sweeps.sweep({FOUR: 8}, "of-one")
    asked_by(runs, "of-one", alone)
    persona_exp("forget", "ranks", "of-one")
    assert [one.path.name for one in find_garbage(runs, younger=True) if one.kind == OF_FORGOTTEN] == [FOUR]


def sealed_by(runs, trial, command):
    path = runs / "trials" / trial / "provenance.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "command": command}))


def asked_by(runs, sweep, command):
    path = runs / "sweeps" / sweep / "sweep.yaml"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(f"command: {command}" if line.startswith("command:") else line for line in lines) + "\n")


def test_latest_leads_to_the_newest_that_is_not_forgotten(two_sweeps, persona_exp):
    runs = two_sweeps.path
    latest_sweep.lead_to(runs / "sweeps" / "ranks")
    assert (runs / "latest").resolve() == (runs / "sweeps" / "ranks").resolve()
    assert json.loads(persona_exp("status", "latest", "--json")[1])["sweep"] == "ranks"
    persona_exp("forget", "ranks")
    assert (runs / "latest").readlink().name == "others"
    persona_exp("forget", "others")
    assert latest_sweep.is_missing(runs)
    persona_exp("forget", "--undo", "ranks", "others")
    assert (runs / "latest").readlink().name == "ranks"


def test_a_folder_of_that_name_stays_and_is_said(tmp_path, capsys):
    (tmp_path / "latest").mkdir()
    latest_sweep.lead_to(tmp_path / "sweeps" / "ranks")
    assert "does not lead to the newest sweep" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["latest"]


def test_unknown_or_undone_without_a_name(two_sweeps, persona_exp):
    assert persona_exp("forget", "nothing")[0] == 2
    assert persona_exp("forget", "--undo")[0] == 2
    assert persona_exp("forget")[1].startswith("No sweep under")


def test_what_is_retried_is_wanted_again(desk, persona_exp):
    desk.trial(ONE, [{"status": "failed", "cause": "ValueError", "message": "not finite"}])
    desk.sweep({ONE: 8}, "ranks")
    persona_exp("forget", "ranks")
    assert persona_exp("retry", "ranks")[0] == 0
    assert json.loads(persona_exp("status", "--json")[1])["forgotten"] == []


def test_clean_spares_a_forgotten_sweep_of_which_a_trial_runs(desk, persona_exp):
    desk.trial(ONE)
    folder = desk.sweep({ONE: 8}, "ranks")
    persona_exp("forget", "ranks")
    desk.attempt(desk.path / "trials" / ONE, 1, status="running")
    assert not [one for one in find_garbage(desk.path, younger=True) if one.kind in (FORGOTTEN, OF_FORGOTTEN)]
    assert folder.is_dir()
