"""How long new trials will take, from the records of earlier runs: seconds a token, and seconds around training."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev

from persona_exp.launch.cost.earlier_runs import RunRecord, TrialWork

# 97.5 % quantiles of Student's t for 2 to 30 degrees of freedom.
T_975 = (
    *(4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131),
    *(2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)


# With one degree of freedom an interval spans orders of magnitude, and helps nobody.
FEWEST = 3
# An interval whose ends are further apart than this says no more than that nothing is known.
WIDEST = 30.0


@dataclass(frozen=True)
class Interval:
    """An amount with its 95 % prediction interval; `low` and `high` are None where too few earlier runs were found."""

    low: float | None
    mean: float
    high: float | None

    @property
    def tells(self) -> bool:
        """Whether there is an interval, and one that is narrow enough to go by."""
        return self.low is not None and self.high is not None and self.high <= WIDEST * self.low

    def times(self, factor: float) -> "Interval":
        """Return the same amount in another unit."""
        return Interval(*(None if value is None else value * factor for value in (self.low, self.mean, self.high)))  # type: ignore[arg-type]

    def text(self) -> str:
        """Return `3.2 [2.1, 4.9]`, or the mean alone where no interval tells anything."""
        if not self.tells:
            return rounded(self.mean)
        return f"{rounded(self.mean)} [{rounded(self.low or 0)}, {rounded(self.high or 0)}]"


def rounded(value: float) -> str:
    """Return two figures below ten, whole numbers above; `under 0.01` of less."""
    if 0 < value < 0.01:
        return "under 0.01"
    return f"{value:.2g}" if value < 10 else f"{value:,.0f}"


def predict(works: Sequence[TrialWork], records: Sequence[RunRecord]) -> tuple[Interval, int] | None:
    """Return the seconds that all of `works` take one after the other, and the number of measurements behind them.

    A trial takes tokens × (seconds a token) + the seconds around training, each the geometric mean of the measurements of the same
    model, method and quantisation; the trials of one bundle are one measurement, their geometric mean. The interval is Student's 95 %
    prediction interval for one more run, on the logarithms: all trials of the sweep are taken to be as slow, or as fast, as one of them
    may be, which is wider than if they varied by themselves. None where a model and method has no record; no interval where one of them
    has fewer than `FEWEST` measurements.
    """
    low, mean, high, bounded = 0.0, 0.0, 0.0, True
    used: set[object] = set()
    for key in {(work.model, work.method, work.quantisation) for work in works}:
        mine = [work for work in works if (work.model, work.method, work.quantisation) == key]
        own = [one for one in records if (one.model, one.method, one.quantisation) == key]
        around = own if mine[0].trains else _of_base(own, [one for one in records if (one.model, one.quantisation) == (key[0], key[2])])
        tokens = [tokens_of(work, own) for work in mine] if mine[0].trains else []
        if not around or any(count is None for count in tokens):
            return None
        parts = [_interval(_measured(around, lambda one: one.around)).times(len(mine))]
        if mine[0].trains:
            rates = _measured(own, lambda one: one.rate)
            parts.append(_interval(rates).times(math.fsum(count for count in tokens if count)))
        for part in parts:
            bounded = bounded and part.low is not None
            low, mean, high = low + (part.low or 0), mean + part.mean, high + (part.high or 0)
        used |= _measurements(around)
    return (Interval(low, mean, high) if bounded else Interval(None, mean, None)), len(used)


def tokens_of(work: TrialWork, records: Sequence[RunRecord]) -> float | None:
    """Return how many tokens the trial trains on in all; None where no record tells how long an example is."""
    length, steps = length_of(work, records), steps_of(work, records)
    return None if length is None or steps is None else steps * work.examples_a_step * length


def length_of(work: TrialWork, records: Sequence[RunRecord]) -> float | None:
    """Return the tokens of an example, of the same data where a record has it, else of any."""
    lengths = [one.tokens_an_example for one in records if one.tokens_an_example and one.data == work.data]
    lengths = lengths or [one.tokens_an_example for one in records if one.tokens_an_example]
    return median(lengths) if lengths else None


def steps_of(work: TrialWork, records: Sequence[RunRecord]) -> int | None:
    """Return how many optimizer steps the trial takes; None where its examples cannot be counted."""
    counts = [one.examples for one in records if one.data == work.data and one.examples]
    examples = counts[0] if counts else work.examples
    if work.steps is None and examples is None:
        return None
    return work.steps or math.ceil(work.epochs * math.ceil((examples or 0) / work.examples_a_step))


def _of_base(own: Sequence[RunRecord], alike: Sequence[RunRecord]) -> Sequence[RunRecord]:
    """Return the records of the base model by itself: it does only what surrounds training, so where it has few, those of all methods."""
    return own if len(_measurements(own)) >= FEWEST else alike


def _measurements(records: Sequence[RunRecord]) -> set[object]:
    return {one.measurement for one in records}


def _measured(records: Sequence[RunRecord], figure: Callable[[RunRecord], float | None]) -> list[float]:
    """Return the logarithm of a figure, once for each measurement that has it."""
    found: dict[object, list[float]] = defaultdict(list)
    for one in records:
        if value := figure(one):
            found[one.measurement].append(math.log(value))
    return [fmean(logs) for logs in found.values()]


def _interval(logs: Sequence[float]) -> Interval:
    middle, n = fmean(logs), len(logs)
    if n < FEWEST:
        return Interval(None, math.exp(middle), None)
    quantile = T_975[n - FEWEST] if n - FEWEST < len(T_975) else 1.96 + 2.4 / (n - 1)
    half = quantile * stdev(logs) * math.sqrt(1 + 1 / n)
    return Interval(math.exp(middle - half), math.exp(middle), math.exp(middle + half))
