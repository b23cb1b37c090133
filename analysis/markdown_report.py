"""The report's page in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.base_or_instruct import CAPTION, HEADER, family_verdicts
from analysis.seed_aggregation import Row
from analysis.swept_values import value_text
from analysis.table_caption import caption, warning
from analysis.table_columns import further_columns, main_columns
from analysis.table_grid import Grid, grid
from analysis.training_cost import training_caption, training_columns

TRACEBACK_LINES = 8


def markdown(
    rows: Sequence[Row],
    keys: Sequence[str],
    name: str,
    notes: Sequence[str],
    tuning: Sequence[str] = (),
    own_note: str = "",
    *,
    replies: str | None = None,
) -> str:
    """Return the page: own note, warning, table, caption, families, trials without figures, further measures, training, notes; `replies` is
    the file of the page of replies."""
    parts = [f"# {name}", *([own_note] if own_note else [])]
    if (loud := warning(rows)) is not None:
        parts.append(f"> **{loud}**")
    parts += [_table(grid(rows, keys, main_columns(rows))), " ".join(caption(rows, name, tuning))]
    if verdicts := family_verdicts(rows):
        parts += ["## Base or instruct", _lines([HEADER, *(one.cells for one in verdicts)], lead=1), CAPTION]
    if found := problems(rows):
        parts += ["## Trials without figures", "\n".join(part for line, excerpt in found for part in _problem(line, excerpt))]
    if any(row.items for row in rows):
        parts += ["## Further measures", _table(grid(rows, keys, further_columns(rows)))]
    adapters = [row for row in rows if row.condition == "adapter" and row.items]
    if columns := training_columns(adapters):
        parts += ["## Training", _table(grid(adapters, keys, columns)), training_caption(adapters)]
    if replies:
        parts += ["## Replies", f"What the trials say beside the true line and the base model: [{replies}]({replies})."]
    if notes:
        parts += ["## Notes", _list(notes)]
    return "\n\n".join(parts) + "\n"


def problems(rows: Sequence[Row]) -> list[tuple[str, list[str]]]:
    """Return for each trial without figures a line that says which and why, and the end of its traceback.

    Of trials that failed alike, the first alone has its traceback; an error that is one sentence has none.
    """
    found: dict[str, list[str]] = {}
    alike: set[tuple[str | None, str | None]] = set()
    for row in rows:
        for one in row.problems:
            swept = row.overrides if one.seed is None else {**row.overrides, "seed": one.seed}
            what = ", ".join(f"{key}={value_text(value)}" for key, value in swept.items()) if row.condition == "adapter" else "base model"
            message = " ".join((one.message or "").split())
            line = f"{what} (trial {one.trial_id}): {one.reason}" + (f": {message}" if message else "")
            # A base trial that failed leaves two rows empty, and is named once.
            if line in found:
                continue
            first = (one.cause, one.message) not in alike and one.cause != "input"
            found[line] = (one.traceback or "").rstrip().splitlines()[-TRACEBACK_LINES:] if first else []
            alike.add((one.cause, one.message))
    return list(found.items())


def _problem(line: str, excerpt: Sequence[str]) -> list[str]:
    """Return a list's item, with the excerpt as a code block of its own."""
    return [f"- {line}", *(["", *(f"      {text}".rstrip() for text in excerpt), ""] if excerpt else [])]


def _table(table: Grid) -> str:
    cells = [[_cell(text) for text in table.header]]
    for line in table.lines:
        texts = [f"**{_cell(text)}**" if place in line.best else _cell(text) for place, text in enumerate(line.cells)]
        if line.span is not None:
            texts[table.lead] = f"*{_cell(line.span)}*"
        cells.append(texts)
    return _lines(cells, lead=1)


def _lines(cells: Sequence[Sequence[str]], *, lead: int) -> str:
    """Return rows of cells, the first the header, as a table whose first `lead` columns are text."""
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["| " + " | ".join(text.ljust(width) for text, width in zip(texts, widths, strict=True)) + " |" for texts in cells]
    rules = ["-" * (width + 1) + (":" if place >= lead else "-") for place, width in enumerate(widths)]
    return "\n".join([lines[0], f"|{'|'.join(rules)}|", *lines[1:]])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
