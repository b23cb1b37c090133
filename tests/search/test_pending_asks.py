"""What a training child runs next: what was given, what was left, what deserves to go on, and then what it asks for."""

import json

import pytest
from omegaconf import OmegaConf

from persona_exp.search.ask_files import ask_numbers
from persona_exp.search.pending_asks import MOST_ASIDE, PendingAsks
from persona_exp.trial.code_snapshot import snapshot
from tests.search.studies import a_search, attempt

pytestmark = pytest.mark.long

ASHA = {"_target_": "optuna.pruners.SuccessiveHalvingPruner", "min_resource": 2, "reduction_factor": 2}


@pytest.fixture
def made(tmp_path, composed):
    """A search of rehearsals, which seal in a moment."""
    folder = tmp_path / "runs" / "sweeps" / "s"
    code = snapshot(tmp_path / "runs").name
    a_search(
        folder, ("lora.r=choice(1,2,3,4,5,6,7,8)",), sampler={"_target_": "grid"}, n_trials=8, pruner=ASHA, pauses=True, code_folder=code
    )
    whole = OmegaConf.to_container(composed("model=tiny", "engine=noop"), resolve=False)
    inputs = {"model_location": "x", "model_revision": None, "model_digest": "d", "data_id": "noop", "data_sha256": None}
    (folder / "composed.json").write_text(json.dumps([{"choices": {}, "composed": whole, "inputs": inputs}]))
    return folder


def trial(path):
    return path.parents[1].name


def test_each_is_handed_out_once_and_then_there_are_no_more(made):
    pending = PendingAsks(made, [], lambda: False)
    found = []
    while path := pending.next_seal(None):
        found.append(path)
    assert len(set(found)) == 8
    assert all(path.is_file() for path in found)
    assert ask_numbers(made) == list(range(8))


def test_what_another_was_asked_to_leave_comes_before_a_new_ask_and_what_was_killed_does_not(made):
    first = PendingAsks(made, [], lambda: False)
    left, killed, unbegun = (first.next_seal(None) for _ in range(3))
    attempt(made, trial(left), status="interrupted", cause="signal")
    attempt(made, trial(killed), status="interrupted", cause="killed")
    second = PendingAsks(made, [], lambda: False)
    assert [second.next_seal(None) for _ in range(2)] == [left, unbegun]
    assert ask_numbers(made) == [0, 1, 2]
    assert second.next_seal(None) not in (left, killed, unbegun)


def test_once_stopped_nothing_is_asked_but_what_was_given_is_handed_out(made):
    given = PendingAsks(made, [], lambda: False).next_seal(None)
    pending = PendingAsks(made, [given], lambda: True)
    assert [pending.next_seal(None), pending.next_seal(None)] == [given, None]
    assert ask_numbers(made) == [0]


def test_trials_of_another_base_model_are_kept_for_later_and_bounded(made):
    pending = PendingAsks(made, [], lambda: False)
    # A rehearsal has none.
    assert pending.next_seal("another") is None
    assert len(ask_numbers(made)) == min(8, MOST_ASIDE)
    assert len({pending.next_seal(None) for _ in range(8)} - {None}) == 8


def test_a_promoted_trial_is_handed_out_once_each_time_that_it_was_paused(made):
    pending = PendingAsks(made, [], lambda: False)
    paths = [pending.next_seal(None) for _ in range(8)]
    for number, path in enumerate(paths):
        attempt(made, trial(path), losses={2: 1.0 + number}, status="interrupted", cause="paused", search="s")
    promoted = [pending.next_seal(None) for _ in range(5)]
    assert promoted == [*paths[:4], None]
    attempt(made, trial(paths[0]), 2, losses={4: 0.5}, status="interrupted", cause="paused", search="s")
    assert [pending.next_seal(None), pending.next_seal(None)] == [paths[0], None]
