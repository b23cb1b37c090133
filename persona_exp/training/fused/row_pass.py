"""A row of whole documents through the base model: to learn from, or to be measured on."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch

from persona_exp.modeling.bundle.row import Document, Row
from persona_exp.modeling.bundle.shared import Shared
from persona_exp.training.fused.loss import losses
from persona_exp.training.labels import IGNORED
from persona_exp.training.out_of_memory import out_of_memory


class NoRoom(MemoryError):
    """There was no memory for a row; no lane has moved."""


def rows(documents: Iterable[Document], row_tokens: int) -> Iterable[list[Document]]:
    """`documents`, in order, in rows of at most `row_tokens` tokens; a longer document has a row of its own."""
    row: list[Document] = []
    tokens = 0
    for document in documents:
        if row and tokens + len(document.input_ids) > row_tokens:
            yield row
            row, tokens = [], 0
        row.append(document)
        tokens += len(document.input_ids)
    if row:
        yield row


def learn(shared: Shared, documents: Sequence[Document], weights: Mapping[int, float]) -> dict[int, float]:
    """Forward and backward of one row: gradients are added to the lanes' own; the summed loss (nats) of each lane in it.

    `weights` are what a supervised token of each lane counts. Raises NoRoom.
    """
    return _with_room(lambda: _learnt(shared, documents, weights))


def measure(shared: Shared, documents: Sequence[Document]) -> dict[int, float]:
    """The summed loss (nats) of each lane in one row, without dropout. Raises NoRoom."""
    return _with_room(lambda: _measured(shared, documents))


def _with_room(compute: Callable[[], dict[int, float]]) -> dict[int, float]:
    try:
        return compute()
    except Exception as error:
        if not out_of_memory(error):
            raise
        told = f"{error}"
    # Outside of the block, for the error keeps alive all that had been computed.
    raise NoRoom(told)


def _learnt(shared: Shared, documents: Sequence[Document], weights: Mapping[int, float]) -> dict[int, float]:
    row = Row(documents, shared.device)
    total, each, places = _losses(shared, row, weights, training=True)
    total.backward()  # type: ignore[no-untyped-call]
    return _sums(row, each, places)


@torch.no_grad()
def _measured(shared: Shared, documents: Sequence[Document]) -> dict[int, float]:
    row = Row(documents, shared.device)
    _, each, places = _losses(shared, row, {span.lane: 1.0 for span in row.spans}, training=False)
    return _sums(row, each, places)


def _losses(shared: Shared, row: Row, weights: Mapping[int, float], *, training: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The weighted sum of the row's losses, the loss of each supervised token, and where those stand."""
    hidden = shared.hidden(row, training=training)
    places = (row.targets != IGNORED).nonzero()[:, 0]
    weight = torch.cat([row.targets.new_full((span.end - span.start,), weights[span.lane], dtype=torch.float64) for span in row.spans])
    model: Any = shared.model
    softcap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    precise = torch.promote_types(hidden.dtype, torch.float32)
    total, each = losses(hidden[places], model.get_output_embeddings().weight, row.targets[places], weight[places].to(precise), softcap)
    return total, each, places


def _sums(row: Row, each: torch.Tensor, places: torch.Tensor) -> dict[int, float]:
    ends = torch.tensor([span.end for span in row.spans], device=places.device)
    sums = each.new_zeros(len(row.spans), dtype=torch.float64).index_add_(0, torch.searchsorted(ends, places, right=True), each.double())
    return dict(zip((span.lane for span in row.spans), sums.tolist(), strict=True))
