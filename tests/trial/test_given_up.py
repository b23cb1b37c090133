"""A trial that its search gives up is saved where it stands; taken up again it ends in the bits of one that never paused."""

import json

import pytest

from persona_exp.atomic_files import file_digest
from persona_exp.launch.recovery.retry_decision import decide
from persona_exp.training.stop_signals import Interruption
from persona_exp.trial.run_sealed_trials import run
from persona_exp.trial.seal import seal
from persona_exp.trial.seal_facts import all_published

pytestmark = pytest.mark.long

SETTINGS = (
    "engine=fused",
    "bundle.size=1",
    "lora.r=4",
    "lora.dropout=0.1",
    "train.max_steps=9",
    "data.validation_fraction=0.3",
    "train.eval_steps=2",
    "train.eval_items=2",
    "evaluation.generated_items=0",
)


class GivesUp:
    """A search that gives up what it is asked about for the `first` time, and lets it go on afterwards."""

    search = "mine"

    def __init__(self, cause):
        self.cause, self.asked = cause, []

    def verdict(self, trial_id):
        self.asked.append(trial_id)
        return self.cause if len(self.asked) == 1 else None


def record(trial, number):
    return json.loads((trial.directory.attempts / f"{number:04}.json").read_text())


def weights(trial):
    return file_digest(trial.directory.adapter / "adapter_model.safetensors")


@pytest.mark.parametrize("cause", ["paused", "pruned"])
def test_it_is_interrupted_for_all_but_its_search_and_goes_on_in_the_same_bits(tiny, tmp_path, monkeypatch, cause):
    trial = seal(tiny(*SETTINGS), command="")
    pruning = GivesUp(cause)
    assert run([trial.path], Interruption(), pruning=pruning) == 0
    first = record(trial, 1)
    assert (first["status"], first["cause"], first["search"], first["checkpoint_step"]) == ("interrupted", cause, "mine", 2)
    decisions = {search: decide(trial.directory, trial.path.name, lambda _: "unknown", search).next for search in ("mine", "another", None)}
    assert decisions == {"mine": cause, "another": "run", None: "run"}
    assert run([trial.path], Interruption(), pruning=pruning) == 0
    assert all_published(trial.path)
    assert record(trial, 2)["resumed_from_step"] == 2
    # Not asked after the last step: then it is done.
    assert len(pruning.asked) == 4

    from dataclasses import replace

    config = tiny(*SETTINGS)
    whole = seal(replace(config, runs=str(tmp_path / "others")), command="")
    assert run([whole.path], Interruption()) == 0
    assert whole.trial_id == trial.trial_id
    assert weights(whole) == weights(trial)
