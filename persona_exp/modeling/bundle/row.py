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

    `input_ids` and `position_ids` are [1, tokens]; positions begin anew with each document. `targets` [tokens] is the token that each
    position must predict, -100 where nothing is supervised.
    """

    def __init__(self, documents: Sequence[Document], device: "torch.device | str" = "cpu") -> None:
        self.lengths = [len(document.input_ids) for document in documents]
        self.tokens = sum(self.lengths)
        self.input_ids = _flat((document.input_ids for document in documents), device)[None]
        self.position_ids = _flat((range(length) for length in self.lengths), device)[None]
        self.targets = _flat(([*document.labels[1:], IGNORED] for document in documents), device)
        self.spans = tuple(_spans(documents))
        if len({span.lane for span in self.spans}) < len(self.spans):
            raise ValueError("The documents of a lane must stand together.")


def _flat(lists: Iterable[Iterable[int]], device: "torch.device | str") -> torch.Tensor:
    return torch.tensor([number for numbers in lists for number in numbers], device=device)


def _spans(documents: Sequence[Document]) -> Iterable[Span]:
    of_lanes = [(lane, tuple(own)) for lane, own in groupby(documents, key=lambda document: document.lane)]
    ends = accumulate((sum(len(one.input_ids) for one in own) for _, own in of_lanes), initial=0)
    for (lane, own), (start, end) in zip(of_lanes, pairwise(ends), strict=True):
        yield Span(lane, start, end, own)
