"""One step of each slot: rows, errors that stay with their slot, bits that others cannot change."""

from itertools import combinations, pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from persona_exp.modeling.model_cache import cache_folder
from persona_exp.modeling.model_source import fetch
from persona_exp.modeling.multi_lora.concatenated_lora_product import ConcatenatedProduct
from persona_exp.modeling.multi_lora.lora_product import add_slices
from persona_exp.modeling.multi_lora.row_tensors import Document, Row
from persona_exp.training.fused import slot as slot_module
from persona_exp.training.fused.bundle_step import bundle_step
from persona_exp.training.fused.row_packing import pack_rows
from tests.training.fused.bundles import FOUR, Bundle, base, recipe


@pytest.fixture(scope="module")
def folder():
    return fetch("tiny", "tiny", None, None, cache_folder())


@given(st.lists(st.integers(1, 30), max_size=40), st.integers(1, 60))
def test_rows_hold_every_document_in_order_and_not_too_much(lengths, limit):
    documents = [Document(0, range(length), range(length), example=number) for number, length in enumerate(lengths)]
    packed = list(pack_rows(documents, limit))
    assert [one for row in packed for one in row] == documents
    assert all(len(row) == 1 or sum(len(one.input_ids) for one in row) <= limit for row in packed)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=9), st.integers(30, 90))
def test_rows_are_few_and_the_longest_is_short(lengths, limit):
    documents = [Document(0, range(length), range(length), example=number) for number, length in enumerate(lengths)]
    packed = [sum(len(one.input_ids) for one in row) for row in pack_rows(documents, limit)]
    # All ways to cut there are.
    cuts = [[0, *cut, len(lengths)] for count in range(len(lengths)) for cut in combinations(range(1, len(lengths)), count)]
    ways = [[sum(lengths[start:end]) for start, end in pairwise(cut)] for cut in cuts]
    best = min((len(way), max(way)) for way in ways if max(way) <= limit)
    assert (len(packed), max(packed)) == best


def test_the_documents_of_a_slot_stand_together():
    with pytest.raises(ValueError, match="stand together"):
        Row([Document(slot, [1, 2], [1, 2]) for slot in (0, 1, 0)])


@pytest.mark.parametrize("product", [add_slices, ConcatenatedProduct()])
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


@pytest.mark.parametrize("product", [add_slices, ConcatenatedProduct()])
def test_a_loss_that_is_not_finite_stops_its_trial_alone(folder, product):
    recipes = [recipe(**changes) for changes in FOUR]
    sound, broken = (Bundle(base(folder, torch.float32), recipes, range(4), product=product) for _ in range(2))
    for bundle in (sound, broken):
        bundle.run(2)
    with torch.no_grad():
        broken.slots[2].adapter.b.fill_(float("nan"))
    before = broken.slots[2].adapter.a.detach().clone()
    came = [bundle_step(bundle.shared, bundle.slots, 512) for bundle in (sound, broken)][1]
    assert isinstance(came[2], FloatingPointError)
    assert "lower optim.lr" in str(came[2])
    assert torch.equal(broken.slots[2].adapter.a, before)
    assert broken.slots[2].step == 2
    ours, theirs = sound.weights(), broken.weights()
    assert all(torch.equal(ours[number], theirs[number]) for number in (0, 1, 3))


def raising(seed):
    """A product that fails for the slot of that seed."""

    def computed(x, y, segments):
        if any(segment.pair.seed == seed for segment in segments):
            raise RuntimeError("a fault of its own")
        return add_slices(x, y, segments)

    return computed


def test_after_an_error_in_a_row_the_guilty_slot_alone_fails(folder, capsys):
    recipes = [recipe(**changes) for changes in FOUR]
    bundle = Bundle(base(folder), recipes, range(4), row_tokens=128)
    bundle.run(2)
    before = bundle.weights()
    bundle.shared.product = raising(recipes[2].seed)
    came = bundle_step(bundle.shared, bundle.slots, 128)
    assert (type(came[2]), str(came[2])) == (RuntimeError, "a fault of its own")
    assert torch.equal(bundle.weights()[2], before[2])
    assert bundle.slots[2].step == 2
    assert all(not one.grad.any() for slot in bundle.slots for one in slot.adapter.parameters())
    assert "each is computed by itself" in capsys.readouterr().out
    for number in (0, 1, 3):
        alone = Bundle(base(folder), recipes, [number])
        assert came[number].loss == pytest.approx(alone.run(3)[number][-1].loss, rel=1e-12)
        torch.testing.assert_close(bundle.weights()[number], alone.weights()[number], rtol=1e-9, atol=1e-12)


def test_an_error_of_a_slot_alone_is_its_own_and_leaves_no_gradient(folder):
    bundle = Bundle(base(folder), [recipe()], [0], product=raising(1))
    came = bundle_step(bundle.shared, bundle.slots, 64)
    assert str(came[0]) == "a fault of its own"
    assert all(not one.grad.any() for one in bundle.slots[0].adapter.parameters())


def test_an_error_that_does_not_come_again_costs_nobody_a_step(folder, capsys):
    recipes = [recipe(seed=seed) for seed in (1, 2)]
    bundle = Bundle(base(folder), recipes, range(2))

    def together(x, y, segments):
        if len(segments) > 1:
            raise RuntimeError("of the company")
        return add_slices(x, y, segments)

    bundle.shared.product = together
    assert [steps[0].step for steps in bundle.run(1).values()] == [1, 1]
    assert "RuntimeError: of the company" in capsys.readouterr().out


@pytest.fixture
def launching(folder, monkeypatch):
    """Makes bundles whose optimiser steps are launched before the host knows of their losses, as on a GPU."""

    def fused(adapter, settings):
        groups = [{"params": [one], "lr": settings.lr * ratio} for one, ratio in ((adapter.a, 1), (adapter.b, settings.loraplus_lr_ratio))]
        return torch.optim.AdamW(groups, betas=(settings.beta1, settings.beta2), weight_decay=settings.weight_decay, fused=True)

    def made():
        with monkeypatch.context() as patch:
            patch.setattr(slot_module, "adamw", fused)
            bundle = Bundle(base(folder, torch.float32), [recipe(**changes) for changes in FOUR], range(4))
        for slot in bundle.slots:
            slot._launches = True
        return bundle

    return made


def test_steps_that_are_launched_unseen_are_those_that_are_not(folder, launching):
    launched, waiting = launching(), Bundle(base(folder, torch.float32), [recipe(**changes) for changes in FOUR], range(4))
    ours, theirs = launched.run(5), waiting.run(5)
    for number in range(4):
        assert [one.loss for one in ours[number]] == pytest.approx([one.loss for one in theirs[number]], rel=1e-5)
        assert [one.grad_norm for one in ours[number]] == pytest.approx([one.grad_norm for one in theirs[number]], rel=1e-4)
        torch.testing.assert_close(launched.weights()[number], waiting.weights()[number], rtol=1e-3, atol=1e-5)
    assert max(one.grad_norm for steps in ours.values() for one in steps) > 1


def test_a_step_launched_unseen_is_not_taken_where_the_loss_is_not_finite(launching):
    sound, broken = launching(), launching()
    for bundle in (sound, broken):
        bundle.run(2)
    with torch.no_grad():
        broken.slots[2].adapter.b[0] = torch.nan
    before = broken.weights()[2]
    came = [bundle_step(bundle.shared, bundle.slots, 512) for bundle in (sound, broken)][1]
    assert isinstance(came[2], FloatingPointError)
    assert torch.equal(broken.weights()[2].nan_to_num(), before.nan_to_num())
    assert all(float(state["step"]) == 2 for state in broken.slots[2]._optimizer.state.values())
    assert all(torch.equal(sound.weights()[number], broken.weights()[number]) for number in (0, 1, 3))


def test_a_short_last_step_of_an_epoch_counts_its_own_tokens(folder):
    # 12 examples in steps of 5: the third has two.
    (bundle,) = [Bundle(base(folder), [recipe(effective_batch_size=5)], [0])]
    steps = bundle.run(4)[0]
    assert [step.epoch for step in steps] == pytest.approx([1 / 3, 2 / 3, 1, 4 / 3])
    assert steps[2].supervised_tokens < min(steps[0].supervised_tokens, steps[1].supervised_tokens)
