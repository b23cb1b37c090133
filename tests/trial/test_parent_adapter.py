"""A trial that begins with another's weights: it does, and only where they fit."""

import pytest
import torch
from safetensors.torch import load_file

from persona_exp.cli.main import main
from persona_exp.errors import UserError
from persona_exp.launch.clone_trial import clone_trial
from persona_exp.training.stop_signals import Interruption
from persona_exp.trial.parent_adapter import WEIGHTS
from persona_exp.trial.recorded_provenance import read_provenance
from persona_exp.trial.run_sealed_trials import run
from persona_exp.trial.seal import seal
from persona_exp.trial.trial_directory import trial_directory
from tests.trial.test_stopped_trial import listed

PARENT = ("engine=fused", "lora.r=4", "lora.target_modules=[q_proj,v_proj]", "train.max_steps=2")


@pytest.fixture
def parent(tiny, runs):
    """A trial of a sweep, and that sweep's folder."""
    sealed = seal(tiny(*PARENT), command="")
    return sealed, listed(runs, [sealed])


def publish(sealed):
    sealed.directory.adapter.mkdir()
    (sealed.directory.adapter / WEIGHTS).write_bytes(b"weights")


def test_without_a_parent_the_identity_says_nothing_of_one(parent, runs):
    sealed, _ = parent
    assert "init_from" not in read_provenance(runs, sealed.trial_id)["identity"]["lora"]


def test_the_parent_is_part_of_the_identity_and_must_be_finished(parent, runs):
    sealed, _ = parent
    with pytest.raises(UserError, match="published no adapter yet"):
        clone_trial(runs, sealed.trial_id, [], warm=True)
    publish(sealed)
    _, added = clone_trial(runs, sealed.trial_id, [], warm=True)
    assert added.overrides == {"lora.init_from": sealed.trial_id}
    assert read_provenance(runs, added.trial_id)["identity"]["lora"]["init_from"] == sealed.trial_id


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("lora.r=8", r"has another lora\.r:"),
        ("lora.target_modules=[q_proj]", r"has another lora\.target_modules:"),
        ("engine.name=sft", "needs engine=fused"),
    ],
)
def test_weights_that_do_not_fit_are_refused(parent, runs, line, said):
    sealed, folder = parent
    publish(sealed)
    with pytest.raises(UserError, match=said):
        clone_trial(runs, sealed.trial_id, [line], warm=True)
    assert not (folder / "added").exists()


def test_what_names_no_trial_is_refused(config, tiny):
    with pytest.raises(UserError, match="is no trial"):
        config("lora.init_from=mine")
    with pytest.raises(UserError, match="is no trial under"):
        seal(tiny(*PARENT, "lora.init_from=aaaaaaaaaaaa"), command="")


@pytest.mark.long
def test_it_begins_with_the_weights_of_its_parent(parent, runs, monkeypatch, capsys):
    sealed, folder = parent
    monkeypatch.setenv("PERSONA_EXP_RUNS", str(runs))
    assert run([sealed.path], Interruption()) == 0
    # At a rate of next to nothing it ends where it began.
    assert main(["clone", sealed.trial_id, "--warm", "optim.lr=1e-30", "train.max_steps=1", "--json"]) == 0
    assert main(["clone", sealed.trial_id, "optim.lr=1e-30", "train.max_steps=1", "--json"]) == 0
    from persona_exp.trial.added_trials import added_trials

    warm, cold = added_trials(folder)
    assert run([runs / "trials" / one.path for one in (warm, cold)], Interruption()) == 0
    before, begun, anew = (
        load_file(trial_directory(runs, one).adapter / WEIGHTS) for one in (sealed.trial_id, warm.trial_id, cold.trial_id)
    )
    assert all(torch.equal(before[name], begun[name]) for name in before)
    assert not all(torch.equal(before[name], anew[name]) for name in before)
    assert "begins with the weights of trial" in capsys.readouterr().out
