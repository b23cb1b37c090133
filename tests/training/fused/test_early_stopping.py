"""Validation of a slot: the loss itself, when it says stop, and that neither other slots nor a kill change it."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from persona_exp.modeling.model_cache import cache_folder
from persona_exp.modeling.model_source import fetch
from persona_exp.modeling.multi_lora.lora_product import add_slices
from persona_exp.modeling.multi_lora.shared_model import SharedModel
from persona_exp.training.fused.bundle_step import bundle_step
from persona_exp.training.fused.early_stopping import EarlyStopping
from persona_exp.training.fused.row_forward_backward import RowOutOfMemory
from persona_exp.training.fused.slot import Slot
from persona_exp.training.fused.validation_loss import validation_loss
from persona_exp.training.stop_signals import Interruption
from tests.training.fused.bundles import base, examples, recipe

LAST = 12


@pytest.fixture(scope="module")
def folder():
    return fetch("tiny", "tiny", None, None, cache_folder())


@pytest.fixture
def slot(folder):
    model = base(folder)
    made = Slot(0, model, examples(0, 12), recipe(dropout=0.2, lr=1e-2), EarlyStopping(examples(50, 9), 2, 3))
    return SharedModel(model), made


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.integers(1, 4), st.integers(1, 3))
def test_it_stops_after_so_many_validations_without_gain_and_keeps_the_first_of_the_lowest(losses, patience, every):
    class Adapter:
        """What it is after so many steps."""

        def __init__(self, step):
            self.step = step

        def tensors(self):
            return {"step": torch.tensor(self.step)}

    one, seen = EarlyStopping([], every, patience), []
    for step in range(1, every * len(losses) + 1):
        if one.due(step, 10**9):
            seen.append(losses[len(seen)])
            one.record(step, seen[-1], Adapter(step))
            assert not one.due(step, 10**9)
            if one.should_stop:
                break
    best = seen.index(min(seen))
    assert (one.best_loss, one.best_step, one.without_gain) == (seen[best], (best + 1) * every, len(seen) - 1 - best)
    assert int(one.best["step"]) == one.best_step
    assert one.should_stop == (len(seen) - 1 - best >= patience)
    assert one.should_stop or len(seen) == len(losses)


def test_the_last_step_is_validated_too():
    one = EarlyStopping([], 5)
    assert [step for step in range(1, LAST + 1) if one.due(step, LAST)] == [5, 10, 12]


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_first_loss_that_is_not_finite_is_an_error(slot, loss):
    _, made = slot
    with pytest.raises(FloatingPointError, match=r"validation loss after step 2 .* lower optim\.lr"):
        made.early_stopping.record(2, loss, made.adapter)


def test_without_memory_rows_are_shorter_down_to_a_document(slot, folder):
    shared, made = slot
    shared.join(0, made.adapter)
    longest = max(len(one.input_ids) for one in made.early_stopping.encoded)
    expected = validation_loss(shared, 0, made.early_stopping.encoded, longest, Interruption())
    for room in (longest, longest - 1):

        def product(x, y, segments, room=room):
            if len(x) > room:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return add_slices(x, y, segments)

        small = SharedModel(base(folder), product)
        small.join(0, made.adapter)
        if room == longest:
            assert validation_loss(small, 0, made.early_stopping.encoded, 512, Interruption()) == pytest.approx(expected, rel=1e-12)
        else:
            with pytest.raises(RowOutOfMemory):
                validation_loss(small, 0, made.early_stopping.encoded, 512, Interruption())


def test_a_loss_that_is_no_number_is_no_progress(slot):
    _, made = slot
    for step, loss in ((2, 3.0), (4, math.nan), (6, math.nan), (8, math.nan)):
        made.early_stopping.record(step, loss, made.adapter)
    assert (made.early_stopping.should_stop, made.early_stopping.best_loss) == (True, 3.0)


def step(shared, slot, times):
    shared.join(slot.number, slot.adapter)
    for _ in range(times):
        bundle_step(shared, [slot], 512)


def test_the_loss_is_that_of_each_reply_by_itself(slot):
    shared, made = slot
    step(shared, made, 3)
    nats = tokens = 0.0
    for one in made.early_stopping.encoded:
        ids = torch.tensor([one.input_ids])
        with torch.no_grad(), shared.activate_adapters([0]):
            logits = shared.model(input_ids=ids).logits[0, :-1]
        labels = torch.tensor(one.labels[1:])
        nats += float(torch.nn.functional.cross_entropy(logits, labels, ignore_index=-100, reduction="sum"))
        tokens += int((labels != -100).sum())
    found = validation_loss(shared, 0, made.early_stopping.encoded, 64, Interruption())
    assert found == pytest.approx(nats / tokens, rel=1e-9)


def test_validation_changes_nothing_of_the_training_and_other_slots_nothing_of_validation(folder):
    model = base(folder, torch.float32)
    shared = SharedModel(model)
    slots = [Slot(number, model, examples(number, 12), recipe(seed=number, dropout=0.2, warmup_steps=0)) for number in range(2)]
    for one in slots:
        shared.join(one.number, one.adapter)
    alone = validation_loss(shared, 1, examples(50, 9), 64, Interruption())
    bundle_step(shared, slots, 512)
    after = [one.detach().clone() for one in slots[1].adapter.parameters()]
    assert validation_loss(shared, 1, examples(50, 9), 64, Interruption()) != alone
    assert all(one.grad is None or not one.grad.any() for one in slots[1].adapter.parameters())
    assert all(torch.equal(one, before) for one, before in zip(slots[1].adapter.parameters(), after, strict=True))
    shared.leave(0)
    without = validation_loss(shared, 1, examples(50, 9), 64, Interruption())
    shared.join(0, slots[0].adapter)
    assert validation_loss(shared, 1, examples(50, 9), 64, Interruption()) == without


def test_saved_and_gone_on_with_it_knows_what_it_has_seen(slot, folder, tmp_path):
    shared, made = slot
    step(shared, made, 2)
    made.early_stopping.record(2, 3.0, made.adapter)
    best = {name: tensor.clone() for name, tensor in made.adapter.tensors().items()}
    step(shared, made, 2)
    made.early_stopping.record(4, 3.5, made.adapter)
    made.save(tmp_path / "saved", {})
    other = Slot(0, shared.model, made.encoded, made.hyperparameters, EarlyStopping(made.early_stopping.encoded, 2, 3))
    other.load(tmp_path / "saved")
    assert (other.step, other.validation_due, other.early_stopping.without_gain, other.early_stopping.best_step) == (4, False, 1, 2)
    assert all(torch.equal(other.final_adapter()[name], tensor) for name, tensor in best.items())
    assert any(not torch.equal(tensor, best[name]) for name, tensor in other.adapter.tensors().items())
