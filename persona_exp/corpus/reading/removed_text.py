"""What reading took out of a book: kinds, amounts, and a few samples of each."""

from collections.abc import Iterable
from dataclasses import dataclass

SAMPLES = 20
SAMPLE_CHARACTERS = 80


@dataclass(frozen=True)
class Cut:
    """All removals of one kind: how often, how many characters together, and the first `SAMPLES` of them, shortened to one line."""

    kind: str
    number: int
    characters: int
    samples: tuple[str, ...]


class Cuts:
    """Gathers removals; holds samples only, so that a book of any size stays small."""

    def __init__(self, cuts: Iterable[Cut] = ()) -> None:
        self._number: dict[str, int] = {}
        self._characters: dict[str, int] = {}
        self._samples: dict[str, list[str]] = {}
        for cut in cuts:
            self._count(cut.kind, cut.number, cut.characters)
            self._samples[cut.kind] += cut.samples[: SAMPLES - len(self._samples[cut.kind])]

    def add(self, kind: str, text: str, characters: int | None = None) -> None:
        """Note that `text` was taken out, or only so many of its `characters`."""
        self._count(kind, 1, len(text) if characters is None else characters)
        if len(self._samples[kind]) < SAMPLES:
            words = " ".join(text[: 4 * SAMPLE_CHARACTERS].split())
            self._samples[kind].append(words if len(words) <= SAMPLE_CHARACTERS else words[: SAMPLE_CHARACTERS - 1] + "…")

    def _count(self, kind: str, number: int, characters: int) -> None:
        self._number[kind] = self._number.get(kind, 0) + number
        self._characters[kind] = self._characters.get(kind, 0) + characters
        self._samples.setdefault(kind, [])

    def all(self) -> tuple[Cut, ...]:
        """Return one `Cut` a kind, in the order in which the kinds were first met."""
        return tuple(Cut(kind, self._number[kind], self._characters[kind], tuple(self._samples[kind])) for kind in self._number)
