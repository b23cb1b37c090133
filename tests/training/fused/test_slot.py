"""A slot by itself: saved and gone on with, bit by bit; its order of data; what peft makes of its weights."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from persona_exp.errors import UserError
from persona_exp.modeling.model_cache import cache_folder
from persona_exp.modeling.model_source import fetch
from persona_exp.training.example_order import examples_of_step
from persona_exp.training.fused.slot import OPTIMIZER
from tests.training.fused.bundles import FOUR, Bundle, base, recipe


@pytest.fixture(scope="module")
def folder():
    return fetch("tiny", "tiny", None, None, cache_folder())


def test_saved_and_resumed_it_ends_in_the_same_bits(folder, tmp_path):
    recipes = [recipe(**changes) for changes in FOUR]
    whole = Bundle(base(folder, torch.float32), recipes, range(4))
    steps_taken = whole.run(8)
    first = Bundle(base(folder, torch.float32), recipes, range(4))
    first.run(5)
    for slot in first.slots:
        slot.save(tmp_path / str(slot.number), {"tick": 5})
    second = Bundle(base(folder, torch.float32), recipes, range(4))
    for slot in second.slots:
        slot.load(tmp_path / str(slot.number))
    assert second.run(3) == {number: steps[5:] for number, steps in steps_taken.items()}
    ours, theirs = second.weights(), whole.weights()
    assert all(torch.equal(ours[number], theirs[number]) for number in range(4))


def test_a_checkpoint_of_another_layout_is_refused(folder, tmp_path):
    (slot,) = Bundle(base(folder, torch.float32), [recipe()], [0]).slots
    slot.save(tmp_path / "slot", {})
    states = torch.load(tmp_path / "slot" / OPTIMIZER, weights_only=True)
    del states["layout"]
    torch.save(states, tmp_path / "slot" / OPTIMIZER)
    with pytest.raises(UserError, match="train this trial anew"):
        slot.load(tmp_path / "slot")


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_each_epoch_sees_each_example_once(examples, effective_batch_size, seed):
    steps = -(-examples // effective_batch_size)
    seen = [examples_of_step(step, examples=examples, effective_batch_size=effective_batch_size, seed=seed) for step in range(2 * steps)]
    for epoch in (seen[:steps], seen[steps:]):
        assert sorted(n for step in epoch for n in step) == list(range(examples))
        assert all(len(step) == effective_batch_size for step in epoch[:-1])
