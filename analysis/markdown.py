"""The report's page in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.rows import Row
from analysis.table import Grid, caption, further_columns, grid, main_columns, warning
from analysis.values import shown


def markdown(rows: Sequence[Row], keys: Sequence[str], name: str, notes: Sequence[str]) -> str:
    """Warning, main table, caption, trials without figures, further measures, notes."""
    parts = [f"# {name}"]
    if (loud := warning(rows)) is not None:
        parts.append(f"> **{loud}**")
    parts += [_table(grid(rows, keys, main_columns(rows))), " ".join(caption(rows, name))]
    if found := problem_lines(rows):
        parts += ["## Trials without figures", _list(found)]
    if any(row.items for row in rows):
        parts += ["## Further measures", _table(grid(rows, keys, further_columns(rows)))]
    if notes:
        parts += ["## Notes", _list(notes)]
    return "\n\n".join(parts) + "\n"


def problem_lines(rows: Sequence[Row]) -> list[str]:
    """One line a trial without figures: which, and why."""
    lines = []
    for row in rows:
        for one in row.problems:
            swept = row.overrides if one.seed is None else {**row.overrides, "seed": one.seed}
            what = ", ".join(f"{key}={shown(value)}" for key, value in swept.items()) if row.condition == "adapter" else "base model"
            message = " ".join((one.message or "").split())
            lines.append(f"{what} (trial {one.trial_id}): {one.reason}" + (f": {message}" if message else ""))
    # A base trial that failed leaves two rows empty, and is named once.
    return list(dict.fromkeys(lines))


def _table(table: Grid) -> str:
    cells = [[_cell(text) for text in table.header]]
    for line in table.lines:
        texts = [f"**{_cell(text)}**" if place in line.best else _cell(text) for place, text in enumerate(line.cells)]
        if line.span is not None:
            texts[table.lead] = f"*{_cell(line.span)}*"
        cells.append(texts)
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["| " + " | ".join(text.ljust(width) for text, width in zip(texts, widths, strict=True)) + " |" for texts in cells]
    rules = ["-" * (width + 1) + (":" if place else "-") for place, width in enumerate(widths)]
    return "\n".join([lines[0], f"|{'|'.join(rules)}|", *lines[1:]])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
