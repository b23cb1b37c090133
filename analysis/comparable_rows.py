"""Which rows of a table compare, and by which figures."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.seed_aggregation import Row


def newest(rows: Sequence[Row]) -> list[Row]:
    """Return `rows` without those that were trained or evaluated by an older version than others: these compare with each other."""
    done = [row for row in rows if row.items]
    training = max((row.sample.versions[0] for row in done if row.condition == "adapter"), default=0)
    evaluation = max((row.sample.versions[1] for row in done), default=0)
    kept = ((training, evaluation), (0, evaluation))
    return [row for row in rows if not row.items or row.sample.versions in (kept if row.condition != "adapter" else kept[:1])]


def one_text(rows: Sequence[Row]) -> bool:
    """Return whether the newest rows measured the same text in the same way, so that figures per byte compare between them."""
    return len({row.sample.measured for row in newest(rows) if row.items}) <= 1


def one_model(rows: Sequence[Row]) -> bool:
    """Return whether figures per token compare between the newest rows: one text and one tokeniser."""
    return len({row.sample.unit for row in newest(rows) if row.items}) <= 1
