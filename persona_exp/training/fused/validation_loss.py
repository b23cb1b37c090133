"""The loss of a slot on the validation split."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from persona_exp.modeling.multi_lora.row_tensors import Document
from persona_exp.modeling.multi_lora.shared_model import SharedModel
from persona_exp.training.fused.row_forward_backward import RowOutOfMemory, SlotLosses, forward
from persona_exp.training.fused.row_packing import pack_rows
from persona_exp.training.fused.slot import supervised_tokens
from persona_exp.training.stop_signals import Interruption

if TYPE_CHECKING:
    from persona_exp.modeling.supervised_token_mask import Encoded


def validation_loss(shared: SharedModel, slot: int, encoded: Sequence["Encoded"], row_tokens: int, interruption: Interruption) -> float:
    """Return the mean nats of the supervised tokens of `encoded` as `slot` computes them, without dropout.

    Rows hold this slot alone, so that no other trial has a part in it. Where there is no memory for them they are made shorter; raise
    RowOutOfMemory where there is none even for one document, and Interrupted when asked to leave.
    """
    documents = [Document(slot, one.input_ids, one.labels, 0, number) for number, one in enumerate(encoded)]
    longest = max(len(one.input_ids) for one in documents)
    losses = None
    while losses is None:
        try:
            losses = _measured(shared, documents, row_tokens, interruption)
        except RowOutOfMemory:
            if row_tokens <= longest:
                raise
            row_tokens = max(row_tokens // 2, longest)
    return losses.by_slot()[slot] / supervised_tokens(documents)


def _measured(shared: SharedModel, documents: Sequence[Document], row_tokens: int, interruption: Interruption) -> SlotLosses:
    losses = SlotLosses()
    for row in pack_rows(documents, row_tokens):
        interruption.raise_if_requested()
        forward(shared, row, losses)
    return losses
