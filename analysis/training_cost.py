"""What the training of a trial took, as its attempts recorded it: seconds, memory, trained weights, and what its length limit cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analysis.swept_values import as_number
from persona_exp.trial.attempt_records import DAMAGED
from persona_exp.trial.runs_reader import Trial

if TYPE_CHECKING:
    from analysis.seed_aggregation import Row
    from analysis.table_columns import Column

GIB = 1 << 30


@dataclass(frozen=True)
class Training:
    """Of one trial, None where it is not recorded: `seconds` of its steps over all attempts, the `peak_memory_bytes` of the process that
    trained it, its trained `weights`, and how many of its `examples` its length limit `cut` (shortened, cut or left out). `together` trials
    were in the largest bundle that it was part of. `lowest` is the step with the lowest validation loss, `steps` the last one."""

    seconds: float | None
    peak_memory_bytes: int | None
    weights: int | None
    examples: int | None
    cut: int | None
    together: int
    lowest: int | None
    steps: int | None


def training_of(trial: Trial) -> Training:
    """Return what the attempts and the log of `trial` say."""
    records = [attempt["training"] for attempt in trial.attempts if isinstance(attempt.get("training"), dict)]
    labels: dict[str, Any] = next((one["labels"] for one in reversed(trial.attempts) if isinstance(one.get("labels"), dict)), {})
    lost = any(one["status"] == DAMAGED for one in trial.attempts)
    peaks = [one["peak_memory_bytes"] for one in records if one.get("peak_memory_bytes")]
    seen = [(loss, int(record["step"])) for record in trial.log if (loss := as_number(record.get("eval_loss"))) is not None]
    return Training(
        # What a damaged record had to say is not known.
        seconds=sum(one.get("seconds") or 0.0 for one in records) if records and not lost else None,
        peak_memory_bytes=max(peaks, default=None),
        weights=trial.trained_weights,
        examples=labels.get("examples"),
        cut=sum(labels.get(key) or 0 for key in ("shortened", "cut", "skipped")) if labels else None,
        together=max((int(one.get("together") or 1) for one in trial.attempts), default=1),
        lowest=min(seen)[1] if seen else None,
        steps=int(trial.log[-1]["step"]) if trial.log else None,
    )


def training_columns(rows: Sequence[Row]) -> list[Column]:
    """Return columns of what training took, means over seeds; those of which no row has a figure are left out."""
    from analysis.table_columns import NONE, Column

    def mean(row: Row, name: str) -> float | None:
        values = [getattr(one.training, name) for one in row.evaluated if one.training is not None]
        return sum(values) / len(values) if values and None not in values else None

    def cell(name: str, unit: float, digits: int) -> Any:
        return lambda row: NONE if (value := mean(row, name)) is None else f"{value / unit:,.{digits}f}"

    def turned(row: Row) -> str:
        steps = [
            f"{one.training.lowest} of {one.training.steps}" for one in row.evaluated if one.training and one.training.lowest is not None
        ]
        return ", ".join(steps) or NONE

    def cut(row: Row) -> str:
        counts = [f"{one.training.cut:,} of {one.training.examples:,}" for one in row.evaluated if one.training and one.training.examples]
        return ", ".join(dict.fromkeys(counts)) or NONE

    columns = [
        Column("trained weights", cell("weights", 1, 0)),
        Column("minutes", cell("seconds", 60, 2)),
        Column("peak memory, GiB", cell("peak_memory_bytes", GIB, 2)),
        Column("examples cut", cut),
        Column("lowest validation loss at step", turned),
    ]
    return [one for one in columns if any(one.cell(row) != NONE for row in rows)]


def training_caption(rows: Sequence[Row]) -> str:
    """Return what the columns are."""
    together = any(one.training and one.training.together > 1 for row in rows for one in row.evaluated)
    shared = " Minutes of a trial in a bundle are its share by tokens, memory is the whole bundle's." if together else ""
    return f"Means over seeds; minutes are those of the steps, without loading and evaluation.{shared}"
