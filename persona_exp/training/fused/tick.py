"""One optimiser step of each lane of a bundle, computed together."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from persona_exp.modeling.bundle.row import Document, Row
from persona_exp.modeling.bundle.shared import Shared
from persona_exp.training.fused.lane import Lane, Step, supervised_tokens
from persona_exp.training.fused.loss import losses
from persona_exp.training.interruption import Interruption
from persona_exp.training.labels import IGNORED
from persona_exp.training.out_of_memory import out_of_memory


class NoRoom(MemoryError):
    """There was no memory for a row; no lane has moved."""


def tick(
    shared: Shared, lanes: Sequence[Lane], row_tokens: int, interruption: Interruption | None = None
) -> dict[int, Step | FloatingPointError]:
    """Let each of `lanes` take its next step; what came of it, by the lane's number.

    A row holds at most `row_tokens` tokens, or one document. Each lane's loss is the mean over its own supervised tokens, whatever the
    rows and the company. A lane whose loss is not finite has not moved, and its error stands in its place. Asked to leave, it raises
    Interrupted before the next row, and without the memory for one NoRoom; no lane has moved then, and gradients are to be cleared.
    """
    windows = {lane.number: lane.window() for lane in lanes}
    weights = {number: 1 / supervised_tokens(documents) for number, documents in windows.items()}
    nats = dict.fromkeys(windows, 0.0)
    for documents in rows([one for window in windows.values() for one in window], row_tokens):
        if interruption:
            interruption.raise_if_requested()
        for number, sum_ in _passed(shared, documents, weights).items():
            nats[number] += sum_
    return {lane.number: _advance(lane, nats[lane.number], windows[lane.number]) for lane in lanes}


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


def _passed(shared: Shared, documents: Sequence[Document], weights: dict[int, float]) -> dict[int, float]:
    try:
        return pass_through(shared, documents, weights)
    except Exception as error:
        if not out_of_memory(error):
            raise
        told = f"{error}"
    # Outside of the block, for the error keeps alive all that had been computed.
    raise NoRoom(told)


def pass_through(shared: Shared, documents: Sequence[Document], weights: dict[int, float]) -> dict[int, float]:
    """Forward and backward of one row: gradients are added to the lanes' own; the summed loss (nats) of each lane in it.

    `weights` are what a supervised token of each lane counts.
    """
    row = Row(documents, shared.device)
    hidden = shared.hidden(row, training=True)
    places = (row.targets != IGNORED).nonzero()[:, 0]
    weight = torch.cat([row.targets.new_full((span.end - span.start,), weights[span.lane], dtype=torch.float64) for span in row.spans])
    model: Any = shared.model
    softcap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    precise = torch.promote_types(hidden.dtype, torch.float32)
    total, each = losses(hidden[places], model.get_output_embeddings().weight, row.targets[places], weight[places].to(precise), softcap)
    total.backward()  # type: ignore[no-untyped-call]
    ends = torch.tensor([span.end for span in row.spans], device=places.device)
    sums = each.new_zeros(len(row.spans), dtype=torch.float64).index_add_(0, torch.searchsorted(ends, places, right=True), each.double())
    return dict(zip((span.lane for span in row.spans), sums.tolist(), strict=True))


def _advance(lane: Lane, nats: float, documents: Sequence[Document]) -> Step | FloatingPointError:
    try:
        return lane.advance(nats, documents)
    except FloatingPointError as error:
        lane.adapter.zero_grad()
        return error
