"""A row of whole documents through the base model, forward alone or backward too."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch

from persona_exp.modeling.multi_lora.row_tensors import Document, Row, to_device
from persona_exp.modeling.multi_lora.shared_model import SharedModel
from persona_exp.modeling.output_head import logits
from persona_exp.training.fused.chunked_cross_entropy import chunked_cross_entropy
from persona_exp.training.out_of_memory_errors import is_out_of_memory


class RowOutOfMemory(MemoryError):
    """There was no memory for a row; no slot has moved."""


class SlotLosses:
    """The summed loss (nats) of each slot in some rows. `by_slot` waits for the device, once for all."""

    def __init__(self) -> None:
        self._sums: list[tuple[tuple[int, ...], torch.Tensor]] = []

    def add(self, slots: Sequence[int], sums: torch.Tensor) -> None:
        """Add those of one row: `sums` [slots], in float64."""
        self._sums.append((tuple(slots), sums))

    def parts(self) -> tuple[list[int], torch.Tensor]:
        """Return all that was added, on the device [parts], and the slot of each part."""
        return [slot for slots, _ in self._sums for slot in slots], torch.cat([sums for _, sums in self._sums])

    def by_slot(self) -> dict[int, float]:
        """Return the sum of each slot."""
        slots, sums = self.parts()
        return sum_by_slot(slots, sums.tolist())


def sum_by_slot(slots: Sequence[int], nats: Sequence[float]) -> dict[int, float]:
    """Return the sum of `nats`, each of one of `slots`, by slot."""
    found = dict.fromkeys(slots, 0.0)
    for slot, part in zip(slots, nats, strict=True):
        found[slot] += part
    return found


def forward_backward(shared: SharedModel, documents: Sequence[Document], weights: Mapping[int, float], losses: SlotLosses) -> None:
    """Compute one row forward and backward: add gradients to the slots' own, and the loss of each slot in it to `losses`.

    `weights` are what a supervised token of each slot counts. Raise RowOutOfMemory where there is no memory for it.
    """

    def compute() -> None:
        row = Row(documents, shared.device)
        total, each = _losses(shared, row, weights, training=True)
        total.backward()  # type: ignore[no-untyped-call]
        _add(losses, row, each)

    _with_memory(compute)


def forward(shared: SharedModel, documents: Sequence[Document], losses: SlotLosses) -> None:
    """Add the loss of each slot in one row, without dropout, to `losses`. Raise RowOutOfMemory where there is no memory for it."""

    @torch.no_grad()
    def compute() -> None:
        row = Row(documents, shared.device)
        _, each = _losses(shared, row, {span.slot: 1.0 for span in row.spans}, training=False)
        _add(losses, row, each)

    _with_memory(compute)


def _with_memory(compute: Callable[[], None]) -> None:
    try:
        compute()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        message = f"{error}"
    else:
        return
    # Outside of the block, for the error keeps alive all that had been computed.
    raise RowOutOfMemory(message)


def _losses(shared: SharedModel, row: Row, weights: Mapping[int, float], *, training: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the weighted sum of the row's losses, and the loss of each supervised token."""
    hidden = shared.hidden_states(row, training=training)
    precise = torch.promote_types(hidden.dtype, torch.float32)
    weight = to_device(torch.tensor([weights[span.slot] for span in row.spans], dtype=precise), hidden.device)[row.owners]
    return chunked_cross_entropy(hidden[row.places], partial(logits, shared.model), row.targets, weight)


def _add(losses: SlotLosses, row: Row, each: torch.Tensor) -> None:
    sums = each.new_zeros(len(row.spans), dtype=torch.float64).index_add_(0, row.owners, each.double())
    losses.add([span.slot for span in row.spans], sums)
