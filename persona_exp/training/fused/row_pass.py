"""A row of whole documents through the base model: to learn from, or to be measured on."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch

from persona_exp.modeling.bundle.row import Document, Row
from persona_exp.modeling.bundle.shared import Shared
from persona_exp.training.fused.loss import losses
from persona_exp.training.out_of_memory import out_of_memory


class NoRoom(MemoryError):
    """There was no memory for a row; no lane has moved."""


def rows(documents: Sequence[Document], row_tokens: int) -> list[list[Document]]:
    """`documents`, in order, in as few rows of at most `row_tokens` tokens as hold them, the longest as short as that allows: a short last
    row costs as many kernels as a full one. A document that is longer has a row of its own."""
    few = len(_filled(documents, row_tokens))
    shorter = bisect_left(range(1, row_tokens), True, key=lambda tokens: len(_filled(documents, tokens)) <= few)
    return _filled(documents, 1 + shorter)


def _filled(documents: Iterable[Document], row_tokens: int) -> list[list[Document]]:
    """One row after the other, each as full as can be."""
    found: list[list[Document]] = []
    tokens = 0
    for document in documents:
        if not found or tokens + len(document.input_ids) > row_tokens:
            found.append([])
            tokens = 0
        found[-1].append(document)
        tokens += len(document.input_ids)
    return found


class Nats:
    """The summed loss (nats) of each lane in some rows; `told` waits for the device, once for all."""

    def __init__(self) -> None:
        self._sums: list[tuple[tuple[int, ...], torch.Tensor]] = []

    def add(self, lanes: Sequence[int], sums: torch.Tensor) -> None:
        """Of one row: `sums` [lanes], in float64."""
        self._sums.append((tuple(lanes), sums))

    def told(self) -> dict[int, float]:
        """By lane."""
        numbers = [lane for lanes, _ in self._sums for lane in lanes]
        found = dict.fromkeys(numbers, 0.0)
        for lane, nats in zip(numbers, torch.cat([sums for _, sums in self._sums]).tolist(), strict=True):
            found[lane] += nats
        return found


def learn(shared: Shared, documents: Sequence[Document], weights: Mapping[int, float], nats: Nats) -> None:
    """Forward and backward of one row: gradients are added to the lanes' own, the loss of each lane in it to `nats`.

    `weights` are what a supervised token of each lane counts. Raises NoRoom.
    """
    _with_room(lambda: _learnt(shared, documents, weights, nats))


def measure(shared: Shared, documents: Sequence[Document], nats: Nats) -> None:
    """The loss of each lane in one row, without dropout, to `nats`. Raises NoRoom."""
    _with_room(lambda: _measured(shared, documents, nats))


def _with_room(compute: Callable[[], None]) -> None:
    try:
        compute()
    except Exception as error:
        if not out_of_memory(error):
            raise
        told = f"{error}"
    else:
        return
    # Outside of the block, for the error keeps alive all that had been computed.
    raise NoRoom(told)


def _learnt(shared: Shared, documents: Sequence[Document], weights: Mapping[int, float], nats: Nats) -> None:
    row = Row(documents, shared.device)
    total, each = _losses(shared, row, weights, training=True)
    total.backward()  # type: ignore[no-untyped-call]
    _add(nats, row, each)


@torch.no_grad()
def _measured(shared: Shared, documents: Sequence[Document], nats: Nats) -> None:
    row = Row(documents, shared.device)
    _, each = _losses(shared, row, {span.lane: 1.0 for span in row.spans}, training=False)
    _add(nats, row, each)


def _losses(shared: Shared, row: Row, weights: Mapping[int, float], *, training: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """The weighted sum of the row's losses, and the loss of each supervised token."""
    hidden = shared.hidden(row, training=training)
    model: Any = shared.model
    softcap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    precise = torch.promote_types(hidden.dtype, torch.float32)
    weight = torch.tensor([weights[span.lane] for span in row.spans], dtype=precise).to(hidden.device)[row.owners]
    return losses(hidden[row.places], model.get_output_embeddings().weight, row.targets, weight, softcap)


def _add(nats: Nats, row: Row, each: torch.Tensor) -> None:
    sums = each.new_zeros(len(row.spans), dtype=torch.float64).index_add_(0, row.owners, each.double())
    nats.add([span.lane for span in row.spans], sums)
