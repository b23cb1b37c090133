"""The memory backoff: what a trial may take next after it ran out of memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Documents of a conversation or two: below that shorter rows save nothing.
SHORTEST_ROW = 64
# Of trials together no shorter ones.
SHORT_ROW = 512


@dataclass(frozen=True)
class MemoryLimits:
    """Upper limits below what is sealed (None: as sealed): examples at once of a trial alone; trials that train together; tokens of a
    row of theirs."""

    micro_batch_size: int | None = None
    together: int | None = None
    row_tokens: int | None = None

    @property
    def smaller(self) -> bool:
        """Return whether this is less than what was sealed."""
        return self != AS_SEALED

    def text(self) -> str:
        """Return `micro-batch 4`, or `2 trials together, rows of 512 tokens`."""
        alone = f"micro-batch {self.micro_batch_size}" if self.micro_batch_size else ""
        trials = f"{self.together} {'trial' if self.together == 1 else 'trials'} together" if self.together else ""
        rows = f"rows of {self.row_tokens} tokens" if self.row_tokens else ""
        return ", ".join(filter(None, [alone, trials, rows]))


AS_SEALED = MemoryLimits()


def limits_of(record: Mapping[str, Any]) -> MemoryLimits:
    """Return the limits under which an attempt ran."""
    return MemoryLimits(*(int(record[name]) if record.get(name) else None for name in ("micro_batch_size", "together", "row_tokens")))


def next_limits(short: Sequence[Mapping[str, Any]]) -> MemoryLimits | None:
    """Return what is left to try after these attempts ran out of memory, the last one above all; None where nothing is.

    Of trials together half as many train at once, in rows half as long; of one alone the rows, or else the micro-batch, are half as long.
    """
    if not short:
        return AS_SEALED
    had = limits_of(short[-1])
    if had.together and had.together > 1:
        return MemoryLimits(together=had.together // 2, row_tokens=max(SHORT_ROW, had.row_tokens // 2) if had.row_tokens else None)
    if had.together:
        return MemoryLimits(together=1, row_tokens=had.row_tokens // 2) if had.row_tokens and had.row_tokens >= 2 * SHORTEST_ROW else None
    least = min((int(one["micro_batch_size"]) for one in short if one.get("micro_batch_size")), default=1)
    return MemoryLimits(micro_batch_size=least // 2) if least > 1 else None


def least_limits(limits: Sequence[MemoryLimits], together: int | None = None) -> MemoryLimits:
    """Return the limits of trials that run in one process: the least of each, and at most `together` at once."""
    each = [*limits, MemoryLimits(together=together)]
    least = [min((size for one in each if (size := getattr(one, name))), default=None) for name in ("together", "row_tokens")]
    return MemoryLimits(each[0].micro_batch_size, *least)
