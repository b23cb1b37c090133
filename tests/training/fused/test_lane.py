"""A lane by itself: saved and gone on with, bit by bit; its order of data; what peft makes of its weights."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from persona_exp.modeling.cache import cache_folder
from persona_exp.modeling.source import fetch
from persona_exp.training.fused.order import window
from tests.training.fused.bundles import FOUR, Bundle, base, recipe


@pytest.fixture(scope="module")
def folder():
    return fetch("tiny", "tiny", None, None, cache_folder())


def test_saved_and_gone_on_with_it_ends_in_the_same_bits(folder, tmp_path):
    recipes = [recipe(**changes) for changes in FOUR]
    whole = Bundle(base(folder, torch.float32), recipes, range(4))
    told = whole.run(8)
    first = Bundle(base(folder, torch.float32), recipes, range(4))
    first.run(5)
    for lane in first.lanes:
        lane.save(tmp_path / str(lane.number), tick=5)
    second = Bundle(base(folder, torch.float32), recipes, range(4))
    for lane in second.lanes:
        lane.load(tmp_path / str(lane.number))
    assert second.run(3) == {number: steps[5:] for number, steps in told.items()}
    ours, theirs = second.weights(), whole.weights()
    assert all(torch.equal(ours[number], theirs[number]) for number in range(4))


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_each_epoch_sees_each_example_once(examples, effective_batch_size, seed):
    steps = -(-examples // effective_batch_size)
    seen = [window(step, examples=examples, effective_batch_size=effective_batch_size, seed=seed) for step in range(2 * steps)]
    for epoch in (seen[:steps], seen[steps:]):
        assert sorted(n for step in epoch for n in step) == list(range(examples))
        assert all(len(step) == effective_batch_size for step in epoch[:-1])
