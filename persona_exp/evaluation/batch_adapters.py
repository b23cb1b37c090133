"""Which adapter computes which item of an evaluation, where one base model has several."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

# The block in which the rows of a batch are computed with the adapters of these slots, equal ones side by side.
ActivateAdapters = Callable[[Sequence[int]], AbstractContextManager[Any]]


@dataclass(frozen=True)
class BatchAdapters:
    """`slots[item]` is the slot of an item's adapter; a batch is computed within `activate(slots)`."""

    slots: Sequence[int]
    activate: ActivateAdapters


def group_by_adapter(adapters: BatchAdapters | None, items: Sequence[int]) -> list[int]:
    """Return `items` with those of one adapter side by side, else in their order."""
    return sorted(items, key=lambda item: adapters.slots[item]) if adapters else list(items)


def active_adapters(adapters: BatchAdapters | None, items: Sequence[int]) -> AbstractContextManager[Any]:
    """Return the block in which a batch of `items` may be computed."""
    return adapters.activate([adapters.slots[item] for item in items]) if adapters else nullcontext()
