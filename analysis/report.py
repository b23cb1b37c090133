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
    from analysis.rows import Row

USAGE = 2

# Columns of a terminal that has room for all figures.
WIDE = 110


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    asked = _parser().parse_args(arguments)
    try:
        lines, found = write(asked.folder, dict(asked.evaluation))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    if asked.json:
        print(json.dumps(found, ensure_ascii=False, indent=2, allow_nan=False))
        return 0
    _print(lines, found)
    return 0


def write(folder: Path, wanted: dict[str, str]) -> tuple[list[Row], dict[str, Any]]:
    """Write table.md, table.csv, table.tex, figure and loss curves into `folder`/report and give the rows and what
    `--json` prints.

    `folder` is runs/sweeps/NAME; `wanted` chooses among evaluations by their settings. UserError where the sweep cannot be read
    or its evaluations cannot stand in one table.
    """
    from analysis import curves, figure, rows, table
    from analysis.frame import load, setting_keys
    from persona_exp.files import write_text

    place = folder.resolve()
    if place.parent.name != "sweeps":
        raise UserError(f"{folder} is no sweep's folder; give one below sweeps/, such as runs/sweeps/NAME.")
    results = load(place.parent.parent, place.name, wanted)
    lines, keys, name = rows.build(results), setting_keys(results.sweep), results.sweep.name
    target = folder / "report"
    target.mkdir(exist_ok=True)
    markdown = table.markdown(lines, keys, name, results.notes)
    texts = {"table.md": markdown, "table.csv": table.csv_text(lines, keys), "table.tex": table.latex(lines, keys, name)}
    for file, text in texts.items():
        write_text(target / file, text)
    paths = [*(target / file for file in texts), *figure.draw(lines, keys, target), *curves.draw(results, lines, target)]
    return lines, {
        "sweep": name,
        "command": results.sweep.command,
        "swept": results.sweep.swept,
        "settings": results.settings,
        "warning": table.warning(lines),
        "caption": table.caption(lines, name),
        "rows": [rows.as_json(line) for line in lines],
        "notes": results.notes,
        "paths": {path.name: str(path) for path in paths},
    }


def _print(lines: Sequence[Row], found: dict[str, Any]) -> None:
    """The table for a person: on a terminal as wide as that is, elsewhere as Markdown."""
    if sys.stdout.isatty():
        _print_rich(lines, found)
    else:
        print(Path(found["paths"]["table.md"]).read_text(encoding="utf-8"))
    for path in found["paths"].values():
        print(path)
    if "loss.pdf" not in found["paths"]:
        print("No loss curves: no trial has logged a step.")


def _print_rich(lines: Sequence[Row], found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from analysis import table

    console = Console()
    if found["warning"]:
        console.print(Text(found["warning"], style="bold red"))
    columns = [
        one for one in table.narrow_columns(lines) if console.width >= WIDE or one.header not in ("token accuracy", "eval loss")
    ]
    header, body = table.grid(lines, [key for key in found["swept"] if key != "seed"], columns)
    lead = len(header) - len(columns)
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for place, title in enumerate(header):
        grid.add_column(Text(title.replace(" [", "\n[").replace("/", "/\n")), justify="right" if place else "left")
    for row, line in zip(lines, body, strict=True):
        cells = [table.SHORT_NAMES[row.condition], *line.cells[1:]]
        cells[lead] = line.span.partition(" (")[0] if line.span is not None else cells[lead]
        # Intervals go under their value: eighty columns are enough then.
        grid.add_row(
            *(Text(cell.strip("*").replace(" [", "\n["), style="bold" if cell.startswith("**") else "") for cell in cells)
        )
    console.print(grid)
    console.print(Text(" ".join(found["caption"])))
    problems = {one["trial_id"]: one for row in found["rows"] for one in row["problems"]}
    for one in problems.values():
        message = " ".join((one["message"] or one["cause"] or "").split())
        console.print(Text(f"Trial {one['trial_id']}: {one['status']}" + (f": {message}" if message else ""), style="yellow"))
    for note in found["notes"]:
        console.print(Text(note))


def _setting(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m analysis.report", description="Tables and figures of a sweep.")
    parser.add_argument("folder", type=Path, help="the sweep's folder: runs/sweeps/NAME")
    choose = "choose among evaluations by a setting (split=test, likelihood_items=100); may be repeated"
    parser.add_argument("--evaluation", action="append", default=[], type=_setting, metavar="KEY=VALUE", help=choose)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    return parser


if __name__ == "__main__":
    sys.exit(main())
