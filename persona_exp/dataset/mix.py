"""The mix: how many examples of each kind go into training."""

import hashlib
import math
from collections.abc import Mapping, Sequence

from persona_exp.dataset.example import Example
from persona_exp.errors import UserError


def draw(examples: Sequence[Example], weights: Mapping[str, float], size: int | None, seed: int) -> list[Example]:
    """Draw weight × available examples of each kind, or `size` in all in the same proportions.

    A weight of 1 takes each once, 0.5 half of them, 2 each twice. Counts are exact (halves round up; `size` is shared out by largest
    remainder). Every example has a fixed rank under `seed`, so that a smaller draw is part of a larger one of the same kind and the
    order of `examples` does not matter. UserError: a wanted kind has no example, nothing is drawn, or `size` is more than the mix holds.
    """
    available = {
        kind: sorted((example for example in examples if example.kind == kind), key=lambda example: _rank(example, seed))
        for kind in sorted(weights)
    }
    for kind, of_kind in available.items():
        if weights[kind] > 0 and not of_kind:
            raise UserError(f"There is no example of the kind {kind} for this persona; set data.mix.{kind}=0.")
    counts = {kind: math.floor(weights[kind] * len(of_kind) + 0.5) for kind, of_kind in available.items()}
    if not sum(counts.values()):
        raise UserError("The mix takes no training example at all; set a data.mix weight above 0.")
    if size is not None:
        if size > sum(counts.values()):
            raise UserError(
                f"data.size={size} is more than the {sum(counts.values())} examples of the mix; lower it, or raise the data.mix "
                "weights (2 takes each example twice)."
            )
        counts = _share(size, counts)
    drawn = [(copy, _rank(example, seed), example) for kind, of_kind in available.items() for copy, example in _take(of_kind, counts[kind])]
    return [example for _, _, example in sorted(drawn, key=lambda item: item[:2])]


def _take(of_kind: Sequence[Example], count: int) -> list[tuple[int, Example]]:
    return [(index // len(of_kind), of_kind[index % len(of_kind)]) for index in range(count)]


def _rank(example: Example, seed: int) -> str:
    return hashlib.sha256(f"{seed} {example.id}".encode()).hexdigest()


def _share(size: int, counts: Mapping[str, int]) -> dict[str, int]:
    """`size` in proportion to `counts`, in whole numbers that add up to it (largest remainder; ties by name)."""
    total = sum(counts.values())
    shares = {kind: size * count // total for kind, count in counts.items()}
    by_remainder = sorted(counts, key=lambda kind: (-(size * counts[kind] % total), kind))
    for kind in by_remainder[: size - sum(shares.values())]:
        shares[kind] += 1
    return shares
