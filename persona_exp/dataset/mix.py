"""The mix: how many examples of each kind, persona and book go into training."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

from persona_exp.dataset.training_example import ATTRIBUTED_KINDS, Example
from persona_exp.errors import UserError

# A cell of the mix: kind, persona, and the book where `books` names it (all other books are one).
Cell = tuple[str, str, str]


def draw_mix(
    examples: Sequence[Example],
    weights: Mapping[str, float],
    size: int | None,
    seed: int,
    *,
    books: Mapping[str, float] | None = None,
    personas: Mapping[str, float] | None = None,
    min_confidence: float = 0.0,
    attributed_kinds: Sequence[str] = ATTRIBUTED_KINDS,
) -> list[Example]:
    """Draw weight × available examples of each cell, or `size` in all in the same proportions.

    A cell's weight is the product of that of its kind in `weights` (a kind that is not there is not drawn), of its book in `books` and
    of its persona in `personas` (1 where not named). A weight of 1 takes each example once, 0.5 half of them, 2 each twice. Counts are
    exact in each cell, and so for each kind, persona and named book (halves round up; `size` is shared out by largest remainder). Every
    example has a fixed rank under `seed`, so that a smaller draw is part of a larger one of the same cell and the order of `examples`
    does not matter. Examples of `attributed_kinds` below `min_confidence` are not available.

    Raise UserError if a weighted kind has no example, a name in `books` or `personas` is unknown, nothing is drawn, or `size` is more
    than the mix holds.
    """
    books, personas = books or {}, personas or {}
    _check_names("books", books, sorted({one.book for one in examples}))
    _check_names("personas", personas, sorted({one.persona for one in examples}))
    _check_weights({f"data.mix.{kind}": weight for kind, weight in weights.items()})
    _check_weights({f"data.mix.books.{book}": weight for book, weight in books.items()})
    _check_weights({f"data.mix.personas.{persona}": weight for persona, weight in personas.items()})
    sure = [one for one in examples if one.kind not in attributed_kinds or one.confidence >= min_confidence]
    for kind in sorted(weights):
        if weights[kind] > 0 and not any(one.kind == kind for one in sure):
            unsure = any(one.kind == kind for one in examples)
            raise UserError(
                f"No example of the kind {kind} is as sure as {min_confidence:g}; lower the confidence asked for, or set data.mix.{kind}=0."
                if unsure
                else f"There is no example of the kind {kind} for this persona; set data.mix.{kind}=0."
            )
    cells: dict[Cell, list[Example]] = {}
    for one in sure:
        if one.kind in weights:
            cells.setdefault((one.kind, one.persona, one.book if one.book in books else ""), []).append(one)
    counts = {
        cell: _half_up(_exact(weights[cell[0]]) * _exact(personas.get(cell[1], 1)) * _exact(books.get(cell[2], 1)) * len(available))
        for cell, available in cells.items()
    }
    shares = _sized(size, counts)
    drawn = [
        (copy, rank, one.id, one) for cell, available in cells.items() for copy, rank, one in _take(_ranked(available, seed), shares[cell])
    ]
    return [one for *_, one in sorted(drawn, key=lambda item: item[:3])]


def _sized(size: int | None, counts: Mapping[Cell, int]) -> Mapping[Cell, int]:
    total = sum(counts.values())
    if not total:
        raise UserError("The mix takes no training example at all; set a data.mix weight above 0.")
    if size is None:
        return counts
    if size > total:
        raise UserError(
            f"data.size={size} is more than the {total} examples of the mix; lower it, or raise the data.mix weights (2 takes each example "
            "twice)."
        )
    return _share(size, counts)


def _check_names(key: str, named: Mapping[str, float], known: Sequence[str]) -> None:
    for name in sorted(named):
        if name not in known:
            raise UserError(
                f"data.mix.{key} names {name}, which is in no training example; the {key} there are {', '.join(known) or 'none'}."
            )


def _check_weights(weights: Mapping[str, float]) -> None:
    for key, weight in weights.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise UserError(f"{key}={weight:g} is no weight; give 0 or more.")


def _exact(weight: float) -> Fraction:
    """Return the number that was written: 0.1 × 5 examples are half an example, which in binary they are not."""
    return Fraction(repr(float(weight)))


def _half_up(number: Fraction) -> int:
    return math.floor(number + Fraction(1, 2))


def _ranked(available: Sequence[Example], seed: int) -> list[tuple[str, Example]]:
    ranked = [(hashlib.sha256(f"{seed} {one.id}".encode()).hexdigest(), one) for one in available]
    return sorted(ranked, key=lambda item: (item[0], item[1].id))


def _take(ranked: Sequence[tuple[str, Example]], count: int) -> list[tuple[int, str, Example]]:
    return [(index // len(ranked), *ranked[index % len(ranked)]) for index in range(count)]


def _share(size: int, counts: Mapping[Cell, int]) -> dict[Cell, int]:
    """Return `size` in proportion to `counts`, in whole numbers that add up to it (largest remainder; ties by name)."""
    total = sum(counts.values())
    shares = {cell: size * count // total for cell, count in counts.items()}
    by_remainder = sorted(counts, key=lambda cell: (-(size * counts[cell] % total), cell))
    for cell in by_remainder[: size - sum(shares.values())]:
        shares[cell] += 1
    return shares
