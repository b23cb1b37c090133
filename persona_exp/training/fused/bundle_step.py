"""One optimiser step of each slot of a bundle, computed together."""

import traceback
from collections.abc import Mapping, Sequence

import torch

from persona_exp.modeling.multi_lora.row_tensors import Document, to_device
from persona_exp.modeling.multi_lora.shared_model import SharedModel
from persona_exp.training.fused.gradient_clipping import clipping
from persona_exp.training.fused.row_forward_backward import RowOutOfMemory, SlotLosses, forward_backward, sum_by_slot
from persona_exp.training.fused.row_packing import pack_rows
from persona_exp.training.fused.slot import OptimizerStep, Slot, supervised_tokens
from persona_exp.training.out_of_memory_errors import is_out_of_memory
from persona_exp.training.stop_signals import Interrupted, Interruption

# The documents of each slot's step, by its number.
Documents = Mapping[int, Sequence[Document]]
# The step of each slot, or its error, by its number.
Outcomes = dict[int, OptimizerStep | Exception]


def bundle_step(shared: SharedModel, slots: Sequence[Slot], row_tokens: int, interruption: Interruption | None = None) -> Outcomes:
    """Let each of `slots` take its next step; return each one's, by its number.

    A row holds at most `row_tokens` tokens, or one document. Each slot's loss is the mean over its own supervised tokens, whatever the rows
    and the other slots. The device is waited for once.

    A slot that failed has its error in the place of its step. A FloatingPointError says that its loss or gradient is not finite; it has not
    moved then. After any other error in a row that slots share, each is computed by itself, and those in which an error comes again have
    failed. Raise Interrupted before the next row when asked to leave, and RowOutOfMemory without the memory for one; no slot has moved
    then, and gradients are to be cleared.
    """
    documents = {slot.number: slot.documents() for slot in slots}
    losses = SlotLosses()
    error = _gather_gradients(shared, slots, documents, losses, row_tokens, interruption)
    if error is None:
        return _take_steps(slots, documents, losses)
    if len(slots) == 1:
        return {slots[0].number: error}
    print(f"A row of {len(slots)} trials failed ({type(error).__name__}: {error}): each is computed by itself in this step.", flush=True)
    failed: Outcomes = {}
    losses = SlotLosses()
    for slot in slots:
        own = SlotLosses()
        error = _gather_gradients(shared, [slot], documents, own, row_tokens, interruption)
        if error is None:
            losses.add(*own.parts())
        else:
            failed[slot.number] = error
    return failed | _take_steps([slot for slot in slots if slot.number not in failed], documents, losses)


def _gather_gradients(
    shared: SharedModel,
    slots: Sequence[Slot],
    documents: Documents,
    losses: SlotLosses,
    row_tokens: int,
    interruption: Interruption | None,
) -> Exception | None:
    """Add what the slots' documents give to their gradients, and their losses to `losses`. After an error, which is returned, the
    gradients are zero."""
    weights = {slot.number: 1 / supervised_tokens(documents[slot.number]) for slot in slots}
    try:
        for row in pack_rows([one for slot in slots for one in documents[slot.number]], row_tokens):
            if interruption:
                interruption.raise_if_requested()
            forward_backward(shared, row, weights, losses)
    except (Interrupted, RowOutOfMemory):
        raise
    except Exception as error:
        # They hold all that had been computed.
        traceback.clear_frames(error.__traceback__)
        for slot in slots:
            slot.adapter.zero_grad()
        return error
    return None


def _take_steps(slots: Sequence[Slot], documents: Documents, losses: SlotLosses) -> Outcomes:
    """Take the optimiser steps of `slots`, whose gradients have been gathered."""
    if not slots:
        return {}
    numbers, parts = losses.parts()
    places = {slot.number: place for place, slot in enumerate(slots)}
    owners = to_device(torch.tensor([places[number] for number in numbers]), parts.device)
    sums = parts.new_zeros(len(slots)).index_add_(0, owners, parts)
    clip = clipping([slot.adapter for slot in slots], [slot.hyperparameters.optimizer.max_grad_norm for slot in slots], sums)
    launched: dict[int, bool] = {}
    for slot, coefficient, unusable in zip(slots, clip.coefficients, clip.unusable, strict=True):
        launched[slot.number] = slot.launch_step(coefficient, unusable)
    # Here alone is the device waited for.
    found = torch.cat([parts, clip.norms.to(parts.dtype)]).tolist()
    nats, norms = sum_by_slot(numbers, found[: len(numbers)]), found[len(numbers) :]
    outcomes: Outcomes = {}
    for slot, norm, coefficient in zip(slots, norms, clip.coefficients, strict=True):
        number = slot.number
        try:
            outcomes[number] = slot.complete_step(nats[number], norm, None if launched[number] else coefficient, documents[number])
        except Exception as error:
            if is_out_of_memory(error):
                raise
            slot.adapter.zero_grad()
            outcomes[number] = error
    return outcomes
