"""One row of tokens that holds whole conversations of several trials, one behind the other and without padding."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise

import torch

from persona_exp.modeling.chat import IGNORED


@dataclass(frozen=True)
class Document:
    """A conversation in tokens, with its labels as `modeling.chat.encode` makes them, for the adapter of `lane`.

    `step` and `example` say where in its trial's training it stands: dropout depends on them, and on nothing of its company.
    """

    lane: int
    input_ids: Sequence[int]
    labels: Sequence[int]
    step: int = 0
    example: int = 0


@dataclass(frozen=True)
class Span:
    """The tokens `start` to `end` of a row, which are one lane's, with the documents that they spell."""

    lane: int
    start: int
    end: int
    documents: tuple[Document, ...]


class Row:
    """Documents laid out for one pass; those of one lane must stand together.

    `input_ids` and `position_ids` are [1, tokens]; positions begin anew with each document. `places` [n] are the positions whose next
    token is supervised, `targets` [n] those tokens, and `owners` [n] the numbers of the spans in which they stand.
    """

    def __init__(self, documents: Sequence[Document], device: "torch.device | str" = "cpu") -> None:
        self.lengths = [len(document.input_ids) for document in documents]
        self.tokens = sum(self.lengths)
        self.spans = tuple(_spans(documents))
        if len({span.lane for span in self.spans}) < len(self.spans):
            raise ValueError("The documents of a lane must stand together.")
        ids = [token for document in documents for token in document.input_ids]
        positions = [position for length in self.lengths for position in range(length)]
        laid_out = _sent([ids, positions], device)
        self.input_ids, self.position_ids = laid_out[:1], laid_out[1:]
        nexts = [label for document in documents for label in (*document.labels[1:], IGNORED)]
        # Told here, since to ask the device for it is to wait for it.
        owners = [number for number, span in enumerate(self.spans) for _ in range(span.start, span.end)]
        places = [place for place, token in enumerate(nexts) if token != IGNORED]
        supervised = [places, [nexts[place] for place in places], [owners[place] for place in places]]
        self.places, self.targets, self.owners = _sent(supervised, device)


def _sent(rows: Sequence[Sequence[int]], device: "torch.device | str") -> torch.Tensor:
    """`rows` as a tensor on the device, which nobody waits for."""
    made = torch.tensor(rows, dtype=torch.long)
    return made.pin_memory().to(device, non_blocking=True) if torch.device(device).type == "cuda" else made


def _spans(documents: Sequence[Document]) -> Iterable[Span]:
    of_lanes = [(lane, tuple(own)) for lane, own in groupby(documents, key=lambda document: document.lane)]
    ends = accumulate((sum(len(one.input_ids) for one in own) for _, own in of_lanes), initial=0)
    for (lane, own), (start, end) in zip(of_lanes, pairwise(ends), strict=True):
        yield Span(lane, start, end, own)
