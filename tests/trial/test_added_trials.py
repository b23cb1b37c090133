"""Trials added to a sweep: once each, read by whoever looks at the sweep, run by whoever is at work on it."""

import threading

from persona_exp.training.stop_signals import Interruption
from persona_exp.trial import run_sealed_trials as running
from persona_exp.trial.added_trials import AddedTrial, add_trial, added_trials
from persona_exp.trial.lost_attempts import note_began
from persona_exp.trial.recorded_sweep import read_sweep
from persona_exp.trial.run_sealed_trials import GivenSeals
from persona_exp.trial.unbegun_seals import unbegun_seals


def added(trial_id, seal="5ea15ea1.json", **overrides):
    return AddedTrial(trial_id, seal, "aaaaaaaaaaaa", overrides or {"optim.lr": 5e-5}, "noop", {}, {})


def code_of(sealed):
    return running.read_seal_facts(sealed.path)["code_folder"]


def test_each_is_added_once_whoever_adds_it(tmp_path):
    names = [f"{number:012x}" for number in range(8)]
    threads = [threading.Thread(target=lambda: [add_trial(tmp_path, added(one)) for one in names]) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    found = [one.trial_id for one in added_trials(tmp_path)]
    assert set(found) == set(names)
    assert not add_trial(tmp_path, added(names[0]))


def test_what_is_none_of_ours_is_left_out(tmp_path):
    assert add_trial(tmp_path, added("bbbbbbbbbbbb"))
    for name, text in {"000002.json": "", "000003.json": '{"trial_id": 1}', "notes.txt": "mine"}.items():
        (tmp_path / "added" / name).write_text(text)
    assert add_trial(tmp_path, added("cccccccccccc"))
    assert [one.trial_id for one in added_trials(tmp_path)] == ["bbbbbbbbbbbb", "cccccccccccc"]


def test_a_sweep_lists_them_with_what_their_origin_had(tmp_path):
    folder = tmp_path / "sweeps" / "one"
    folder.mkdir(parents=True)
    row = "{trial_id: aaaaaaaaaaaa, role: adapter, overrides: {lora.r: 8}, evaluations: {}}"
    (folder / "sweep.yaml").write_text(f"command: python run.py\nswept: [lora.r]\ntrials: [{row}]\n")
    add_trial(folder, added("bbbbbbbbbbbb"))
    sweep = read_sweep(tmp_path, "one")
    assert sweep.swept == ["lora.r", "optim.lr"]
    assert [one.overrides for one in sweep.trials] == [{"lora.r": 8}, {"lora.r": 8, "optim.lr": 5e-5}]


def test_a_child_takes_up_what_is_added_while_it_runs(sealed_noop, runs):
    one, other, begun = (sealed_noop(seed) for seed in range(3))
    folder = runs / "sweeps" / "one"
    pending = GivenSeals([one.path], folder)
    assert pending.next_seal(None) == one.path
    assert pending.next_seal(None) is None
    for trial in (other, begun):
        add_trial(folder, added(trial.trial_id, trial.path.name))
    assert running.run([begun.path], Interruption()) == 0
    assert pending.next_seal("another base model") is None
    assert pending.next_seal(None) == other.path.absolute()
    assert pending.next_seal(None) is None, "once"


def test_other_code_and_cancelled_ones_are_left_alone(sealed_noop, runs):
    trial = sealed_noop()
    folder = runs / "sweeps" / "one"
    add_trial(folder, added(trial.trial_id, trial.path.name))
    assert unbegun_seals(folder, code_of(trial)) == [trial.path.absolute()]
    assert unbegun_seals(folder, "other code") == []
    trial.directory.cancelled.write_text("{}")
    assert unbegun_seals(folder, code_of(trial)) == []


def test_one_that_lost_its_attempts_is_not_trained_again_in_silence(sealed_noop, runs):
    trial = sealed_noop()
    folder = runs / "sweeps" / "one"
    add_trial(folder, added(trial.trial_id, trial.path.name))
    note_began(trial.directory.path)
    assert unbegun_seals(folder, code_of(trial)) == []


def test_a_setting_taken_back_is_null_in_the_title():
    assert (
        added("bbbbbbbbbbbb", **{"train.stop_at_step": None, "optim.lr": 5e-5}).title
        == "aaaaaaaaaaaa with train.stop_at_step=null optim.lr=5e-05"
    )
