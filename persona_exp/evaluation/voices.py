"""Which adapter answers which item, where one base model has several."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Voices:
    """`lanes[item]` is the adapter of an item; within `speaking(lanes)` the rows of a batch are computed with these, neighbours alike."""

    lanes: Sequence[int]
    speaking: Callable[[Sequence[int]], AbstractContextManager[Any]]


def ordered(voices: Voices | None, items: Sequence[int]) -> list[int]:
    """`items` with those of one adapter together, else in their order."""
    return sorted(items, key=lambda item: voices.lanes[item]) if voices else list(items)


def speaking(voices: Voices | None, items: Sequence[int]) -> AbstractContextManager[Any]:
    """The block in which a batch of `items` may be computed."""
    return voices.speaking([voices.lanes[item] for item in items]) if voices else nullcontext()
