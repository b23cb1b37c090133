"""Estimates with 95 % bootstrap intervals over held-out items, and over seeds where a setting has several.

Every measure here is a ratio of sums over items (nats a token, nats a byte), so an item weighs as much as it is long. One
draw takes n items with replacement from the n items (percentile interval: Efron & Tibshirani 1993, "An Introduction to the
Bootstrap", ch. 13). With k > 1 seeds it also takes k - 1 seeds with replacement from the k: drawing k would understate the
variance over seeds by (k - 1) / k (Rao & Wu 1988, JASA 83:231-241).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.random import Generator
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

CONFIDENCE = 0.95
DRAWS = 10_000
SEED = 0

# Numbers held at once while drawing: 32 MB of indices.
BLOCK = 4_000_000


@dataclass(frozen=True)
class Estimate:
    """A value and the ends of its 95 % interval, in the value's unit."""

    value: float
    low: float
    high: float

    @property
    def includes_zero(self) -> bool:
        """Whether a difference of this size cannot be distinguished from none."""
        return self.low <= 0 <= self.high


def perplexity(nats: Floats, tokens: Floats, draws: int = DRAWS) -> Estimate:
    """Return exp(sum nats / sum tokens), mean over seeds. `nats` is (seeds, items), `tokens` (items,)."""
    import numpy as np

    return _estimate(nats, tokens, lambda sums, total: np.exp(sums / total), draws)


def bits_per_byte(nats: Floats, sizes: Floats, draws: int = DRAWS) -> Estimate:
    """Return sum nats / (ln 2 · sum bytes), mean over seeds. `nats` is (seeds, items), `sizes` (items,) in bytes of UTF-8."""
    import numpy as np

    return _estimate(nats, sizes, lambda sums, total: sums / (total * np.log(2)), draws)


def perplexity_difference(nats: Floats, reference: Floats, tokens: Floats, draws: int = DRAWS) -> Estimate:
    """Return perplexity minus the reference's on the same items, each draw taking the same items for both.

    `nats` is (seeds, items), `reference` and `tokens` (items,), in the same order of items. Negative: better than the reference.
    """
    import numpy as np

    def difference(sums: Floats, total: Floats) -> Floats:
        values = np.exp(sums / total)
        return values[:-1] - values[-1:]

    return _estimate(np.vstack([nats, reference[None]]), tokens, difference, draws)


def bits_per_byte_difference(nats: Floats, other: Floats, sizes: Floats, draws: int = DRAWS) -> Estimate:
    """Return bits/byte of `nats` minus that of `other`, each the mean of its seeds, on the same items.

    `nats` and `other` are (seeds, items), `sizes` (items,). Each draw takes the same items for both, and the seeds of each apart.
    """
    import numpy as np

    def difference(sums: Floats, total: Floats) -> Floats:
        values = sums / (total * np.log(2))
        means = [_mean_of_seeds(part, chooser) for part in (values[: len(nats)], values[len(nats) :])]
        return (means[0] - means[1])[None]

    chooser = None
    parts = np.vstack([nats, other])
    value = float(difference(parts.sum(1, keepdims=True), sizes.sum(keepdims=True))[0, 0])
    chooser = np.random.default_rng([SEED, 2])
    return replace(_estimate(parts, sizes, difference, draws), value=value)


def _mean_of_seeds(by_seed: Floats, chooser: Generator | None) -> Floats:
    """Return the mean of (seeds, draws) over seeds; with a `chooser` over seeds - 1 of them, drawn with replacement."""
    import numpy as np

    seeds = by_seed.shape[0]
    if chooser is not None and seeds > 1:
        by_seed = np.take_along_axis(by_seed, chooser.integers(0, seeds, (seeds - 1, by_seed.shape[1])), axis=0)
    mean: Floats = by_seed.mean(0)
    return mean


def _estimate(parts: Floats, weights: Floats, measure: Callable[[Floats, Floats], Floats], draws: int) -> Estimate:
    """Return the estimate of a mean over seeds.

    `measure` takes sums of `parts` (rows, draws) and of `weights` (draws,) and gives a value a seed (seeds, draws).
    """
    import numpy as np

    if parts.shape[1] == 0 or parts.shape[1] != weights.shape[0]:
        raise ValueError(f"{parts.shape[1]} items with {weights.shape[0]} weights")
    # Sorted, so that the order in which items come cannot move the interval.
    table = np.vstack([parts, weights[None]]).astype(np.float64)
    table = table[:, np.lexsort(table)]
    value = float(measure(table[:-1].sum(1, keepdims=True), table[-1:].sum(1)).mean())
    chooser = np.random.default_rng([SEED, 1])
    found = []
    for sums in _resampled(table, draws):
        found.append(_mean_of_seeds(measure(sums[:-1], sums[-1]), chooser))
    tail = (1 - CONFIDENCE) / 2 * 100
    low, high = np.percentile(np.concatenate(found), [tail, 100 - tail])
    return Estimate(value, float(low), float(high))


def _resampled(table: Floats, draws: int) -> Iterator[Floats]:
    """Yield sums over items of each row of `table` (rows, items) in `draws` draws, in blocks of (rows, draws of the block)."""
    import numpy as np

    generator = np.random.default_rng(SEED)
    rows, items = table.shape
    block = max(1, BLOCK // (items * rows))
    for start in range(0, draws, block):
        taken = generator.integers(0, items, (min(block, draws - start), items))
        yield table[:, taken].sum(2)
