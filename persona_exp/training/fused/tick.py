"""One optimiser step of each lane of a bundle, computed together."""

from collections.abc import Sequence

from persona_exp.modeling.bundle.row import Document
from persona_exp.modeling.bundle.shared import Shared
from persona_exp.training.fused.lane import Lane, Step, supervised_tokens
from persona_exp.training.fused.row_pass import Nats, learn, rows
from persona_exp.training.interruption import Interruption


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
    nats = Nats()
    for documents in rows([one for window in windows.values() for one in window], row_tokens):
        if interruption:
            interruption.raise_if_requested()
        learn(shared, documents, weights, nats)
    told = nats.told()
    return {lane.number: _advance(lane, told[lane.number], windows[lane.number]) for lane in lanes}


def _advance(lane: Lane, nats: float, documents: Sequence[Document]) -> Step | FloatingPointError:
    try:
        return lane.advance(nats, documents)
    except FloatingPointError as error:
        lane.adapter.zero_grad()
        return error
