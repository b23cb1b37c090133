"""`python -m analysis.report runs/sweeps/NAME`: the sweep's tables and figures, written into its report/ and printed."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.errors import UserError

if TYPE_CHECKING:
    from analysis.results import Results
    from analysis.rows import Row

USAGE = 2

# Columns that eighty characters have no room for.
LEFT_OUT = ("token accuracy", "eval loss")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m analysis.report", description="Tables and figures of a sweep.")
    parser.add_argument("folder", type=Path, help="the sweep's folder: runs/sweeps/NAME")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    asked = parser.parse_args(arguments)
    try:
        results, rows, paths = write(asked.folder)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    if asked.json:
        print(json.dumps(as_json(results, rows, paths), ensure_ascii=False, indent=2, allow_nan=False))
        return 0
    if sys.stdout.isatty():
        _print_narrow(results, rows)
    else:
        print((asked.folder / "report" / "table.md").read_text(encoding="utf-8"))
    for path in paths:
        print(path)
    if not any(path.name == "loss.pdf" for path in paths):
        print("No loss curves: no trial has logged a step.")
    return 0


def write(folder: Path) -> tuple[Results, list[Row], list[Path]]:
    """Write table.md, table.csv, table.tex, figure and loss curves into `folder`/report; `folder` is runs/sweeps/NAME.

    Gives the sweep's results, the table's rows and the files written. UserError where the sweep cannot be read or its evaluations
    cannot stand in one table.
    """
    from analysis import curves, figure
    from analysis.latex import latex
    from analysis.markdown import markdown
    from analysis.results import load, setting_keys
    from analysis.rows import build
    from analysis.sheet import csv_text
    from persona_exp.files import write_text

    place = folder.resolve()
    if place.parent.name != "sweeps":
        raise UserError(f"{folder} is no sweep's folder; give one below sweeps/, such as runs/sweeps/NAME.")
    results = load(place.parent.parent, place.name)
    rows, keys, name = build(results), setting_keys(results.sweep), results.sweep.name
    target = folder / "report"
    texts = {
        "table.md": markdown(rows, keys, name, results.notes),
        "table.csv": csv_text(rows, keys),
        "table.tex": latex(rows, keys, name),
    }
    for file, text in texts.items():
        write_text(target / file, text)
    return results, rows, [*(target / file for file in texts), *figure.draw(rows, keys, target), *curves.draw(results, rows, target)]


def as_json(results: Results, rows: Sequence[Row], paths: Sequence[Path]) -> dict[str, Any]:
    """All that the report holds, as plain JSON values."""
    from analysis import table
    from analysis.rows import row_json

    return {
        "sweep": results.sweep.name,
        "command": results.sweep.command,
        "swept": results.sweep.swept,
        "settings": results.settings,
        "warning": table.warning(rows),
        "caption": table.caption(rows, results.sweep.name),
        "rows": [row_json(row) for row in rows],
        "notes": results.notes,
        "paths": {path.name: str(path) for path in paths},
    }


def _print_narrow(results: Results, rows: Sequence[Row]) -> None:
    """The main figures for a terminal of eighty columns."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from analysis.markdown import problems
    from analysis.results import setting_keys
    from analysis.rows import SHORT_NAMES
    from analysis.table import caption, grid, narrow_columns, warning

    console = Console()
    if (loud := warning(rows)) is not None:
        console.print(Text(loud, style="bold red"))
    found = grid(rows, setting_keys(results.sweep), [one for one in narrow_columns(rows) if one.header not in LEFT_OUT])
    shown = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for place, title in enumerate(found.header):
        shown.add_column(Text(title.replace(" [", "\n[").replace("/", "/\n")), justify="right" if place else "left")
    for row, line in zip(rows, found.lines, strict=True):
        cells = [SHORT_NAMES[row.condition], *line.cells[1:]]
        if line.span is not None:
            cells[found.lead] = line.span.partition(" (")[0]
        # Intervals go under their value: eighty columns are enough then.
        texts = [text.replace(" [", "\n[") for text in cells]
        shown.add_row(*(Text(text, style="bold" if place in line.best else "") for place, text in enumerate(texts)))
    console.print(shown)
    console.print(Text(" ".join(caption(rows, results.sweep.name))))
    for problem, excerpt in problems(rows):
        console.print(Text(problem, style="yellow"))
        for text in excerpt:
            console.print(Text(f"    {text}", style="dim"))
    for note in results.notes:
        console.print(Text(note))


if __name__ == "__main__":
    sys.exit(main())
