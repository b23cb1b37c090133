"""The tensors of one row: whole conversations of several trials, one behind the other and without padding."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise

import torch

from persona_exp.modeling.supervised_token_mask import IGNORED_LABEL


@dataclass(frozen=True)
class Document:
    """A conversation in tokens, with its labels as `supervised_token_mask.encode` makes them, for the adapter of `slot`.

    `step` and `example` say where in its trial's training it stands: dropout depends on them, and on no other trial.
    """

    slot: int
    input_ids: Sequence[int]
    labels: Sequence[int]
    step: int = 0
    example: int = 0


@dataclass(frozen=True)
class Span:
    """The tokens `start` to `end` of a row, all of one slot, and its documents."""

    slot: int
    start: int
    end: int
    documents: tuple[Document, ...]


class Row:
    """Documents laid out for one pass; raise ValueError where those of one slot do not stand together.

    `input_ids` and `position_ids` are [1, tokens]; positions begin anew with each document. `places` [n] are the positions whose next
    token is supervised, `targets` [n] those tokens, and `owners` [n] the numbers of the spans in which they stand.
    """

    def __init__(self, documents: Sequence[Document], device: "torch.device | str" = "cpu") -> None:
        self.lengths = [len(document.input_ids) for document in documents]
        self.tokens = sum(self.lengths)
        self.spans = tuple(_spans(documents))
        if len({span.slot for span in self.spans}) < len(self.spans):
            raise ValueError("The documents of a slot must stand together.")
        ids = [token for document in documents for token in document.input_ids]
        positions = [position for length in self.lengths for position in range(length)]
        nexts = [label for document in documents for label in (*document.labels[1:], IGNORED_LABEL)]
        # On the host, since to ask the device for it is to wait for it.
        owners = [number for number, span in enumerate(self.spans) for _ in range(span.start, span.end)]
        places = [place for place, token in enumerate(nexts) if token != IGNORED_LABEL]
        supervised = [places, [nexts[place] for place in places], [owners[place] for place in places]]
        tokens, places_of, self.places, self.targets, self.owners = send_lists([ids, positions, *supervised], device)
        self.input_ids, self.position_ids = tokens[None], places_of[None]


def send_lists(lists: Sequence[Sequence[int]], device: "torch.device | str") -> Sequence[torch.Tensor]:
    """Return each of `lists` as a tensor on the device, in one copy that the host does not wait for."""
    made = torch.tensor([number for one in lists for number in one], dtype=torch.long)
    return to_device(made, device).split_with_sizes([len(one) for one in lists])


def to_device(made: torch.Tensor, device: "torch.device | str") -> torch.Tensor:
    """Return `made`, of the host, on the device, without waiting for the copy."""
    return made.pin_memory().to(device, non_blocking=True) if torch.device(device).type == "cuda" else made


def _spans(documents: Sequence[Document]) -> Iterable[Span]:
    of_slots = [(slot, tuple(own)) for slot, own in groupby(documents, key=lambda document: document.slot)]
    ends = accumulate((sum(len(one.input_ids) for one in own) for _, own in of_slots), initial=0)
    for (slot, own), (start, end) in zip(of_slots, pairwise(ends), strict=True):
        yield Span(slot, start, end, own)
