"""The last answer to a question, for trials that follow each other and ask the same."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

Answer = TypeVar("Answer")

SCALARS = (str, int, float, bool, type(None))


class LastAnswer(Generic[Answer]):
    """An answer, kept while what it is asked of are the same objects, which nobody changes meanwhile; of text and numbers, equal ones."""

    def __init__(self) -> None:
        self._kept: tuple[tuple[Any, ...], Answer] | None = None

    def __call__(self, asked: tuple[Any, ...], work: Callable[[], Answer]) -> Answer:
        """Return the answer kept for `asked`, else what `work` returns."""
        if self._kept is None or not all(map(_same, self._kept[0], asked)):
            self._kept = (asked, work())
        return self._kept[1]


def _same(one: Any, other: Any) -> bool:
    return one is other or (type(one) is type(other) and type(one) in SCALARS and one == other)
