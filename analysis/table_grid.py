"""The ablation table as cells of text, the best of a column marked: for Markdown, LaTeX and the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.comparable_rows import newest
from analysis.seed_aggregation import Row
from analysis.swept_values import value_text
from analysis.table_columns import NONE, Column


@dataclass(frozen=True)
class Line:
    """One line of text cells, and the places of the best ones. `span` replaces the figures where there are none."""

    cells: list[str]
    best: frozenset[int]
    span: str | None


@dataclass(frozen=True)
class Grid:
    """A table as text. The figures begin at `lead`; before them are name, swept keys, data where they differ, and seeds."""

    header: list[str]
    lines: list[Line]
    lead: int


def grid(rows: Sequence[Row], keys: Sequence[str], columns: Sequence[Column]) -> Grid:
    """Return `rows` under one column for each swept key that has a value, and one for the data where they differ."""
    keys = [key for key in keys if any(key in row.overrides for row in rows)]
    data = ["data"] if len({row.sample.data_id for row in rows if row.items}) > 1 else []
    header = ["", *keys, *data, "seeds"]
    lead = len(header)
    best = [_best(rows, column) for column in columns]
    ranked = newest(rows)
    lines = []
    for row in rows:
        cells = [row.name, *(value_text(row.overrides[key]) if key in row.overrides else NONE for key in keys)]
        cells += [row.sample.data_id or NONE] if data else []
        cells += [_seeds(row), *(column.cell(row) if row.items else NONE for column in columns)]
        may_be_best = row.condition == "adapter" and any(row is one for one in ranked)
        marked = {lead + place for place, texts in enumerate(best) if may_be_best and cells[lead + place] in texts}
        span = None if row.items else "; ".join(dict.fromkeys(one.reason for one in row.problems))
        lines.append(Line(cells, frozenset(marked), span))
    return Grid([*header, *(column.header for column in columns)], lines, lead)


def _best(rows: Sequence[Row], column: Column) -> set[str]:
    """Return the text of the best adapter's value: what rounds to the same is equally good."""
    adapters = [row for row in newest(rows) if row.condition == "adapter" and row.items]
    valued = [(column.best * value, column.cell(row)) for row in adapters if (value := column.value(row)) is not None]
    # Where all are equally good, none stands out.
    return {max(valued)[1]} if column.best and len({text for _, text in valued}) > 1 else set()


def _seeds(row: Row) -> str:
    if row.condition != "adapter":
        return NONE
    planned = len(row.outcomes)
    return str(planned) if len(row.seeds) == planned else f"{len(row.seeds)} of {planned}"
