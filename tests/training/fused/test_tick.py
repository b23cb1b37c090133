"""One step of each lane: rows, errors that stay with their lane, bits that others cannot change."""

from itertools import combinations, pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from persona_exp.modeling.bundle.product import add_slices
from persona_exp.modeling.bundle.row import Document, Row
from persona_exp.modeling.bundle.wide import Wide
from persona_exp.modeling.cache import cache_folder
from persona_exp.modeling.source import fetch
from persona_exp.training.fused.row_pass import rows
from persona_exp.training.fused.tick import tick
from tests.training.fused.bundles import FOUR, Bundle, base, recipe


@pytest.fixture(scope="module")
def folder():
    return fetch("tiny", "tiny", None, None, cache_folder())


@given(st.lists(st.integers(1, 30), max_size=40), st.integers(1, 60))
def test_rows_hold_every_document_in_order_and_not_too_much(lengths, limit):
    documents = [Document(0, range(length), range(length), example=number) for number, length in enumerate(lengths)]
    packed = list(rows(documents, limit))
    assert [one for row in packed for one in row] == documents
    assert all(len(row) == 1 or sum(len(one.input_ids) for one in row) <= limit for row in packed)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=9), st.integers(30, 90))
def test_rows_are_few_and_the_longest_is_short(lengths, limit):
    documents = [Document(0, range(length), range(length), example=number) for number, length in enumerate(lengths)]
    packed = [sum(len(one.input_ids) for one in row) for row in rows(documents, limit)]
    # All ways to cut there are.
    cuts = [[0, *cut, len(lengths)] for count in range(len(lengths)) for cut in combinations(range(1, len(lengths)), count)]
    ways = [[sum(lengths[start:end]) for start, end in pairwise(cut)] for cut in cuts]
    best = min((len(way), max(way)) for way in ways if max(way) <= limit)
    assert (len(packed), max(packed)) == best


def test_the_documents_of_a_lane_stand_together():
    with pytest.raises(ValueError, match="stand together"):
        Row([Document(lane, [1, 2], [1, 2]) for lane in (0, 1, 0)])


@pytest.mark.parametrize("product", [add_slices, Wide()])
def test_a_change_in_one_trial_leaves_the_bits_of_the_others(folder, product):
    ends = []
    for rate in (1e-3, 5e-2):
        recipes = [recipe(**changes) for changes in FOUR]
        recipes[1] = recipe(**{**FOUR[1], "lr": rate, "seed": 99})
        bundle = Bundle(base(folder, torch.float32), recipes, range(4), product=product)
        bundle.run(6)
        ends.append(bundle.weights())
    assert not torch.equal(ends[0][1], ends[1][1])
    assert all(torch.equal(ends[0][number], ends[1][number]) for number in (0, 2, 3))


@pytest.mark.parametrize("product", [add_slices, Wide()])
def test_a_loss_that_is_not_finite_stops_its_trial_alone(folder, product):
    recipes = [recipe(**changes) for changes in FOUR]
    sound, broken = (Bundle(base(folder, torch.float32), recipes, range(4), product=product) for _ in range(2))
    for bundle in (sound, broken):
        bundle.run(2)
    with torch.no_grad():
        broken.lanes[2].adapter.b.fill_(float("nan"))
    before = broken.lanes[2].adapter.a.detach().clone()
    came = [tick(bundle.shared, bundle.lanes, 512) for bundle in (sound, broken)][1]
    assert isinstance(came[2], FloatingPointError)
    assert "lower optim.lr" in str(came[2])
    assert torch.equal(broken.lanes[2].adapter.a, before)
    assert broken.lanes[2].step == 2
    ours, theirs = sound.weights(), broken.weights()
    assert all(torch.equal(ours[number], theirs[number]) for number in (0, 1, 3))


def test_a_short_last_step_of_an_epoch_counts_its_own_tokens(folder):
    # 12 examples in steps of 5: the third has two.
    (bundle,) = [Bundle(base(folder), [recipe(effective_batch_size=5)], [0])]
    steps = bundle.run(4)[0]
    assert [step.epoch for step in steps] == pytest.approx([1 / 3, 2 / 3, 1, 4 / 3])
    assert steps[2].supervised_tokens < min(steps[0].supervised_tokens, steps[1].supervised_tokens)
