"""`python -m analysis.report runs/sweeps/NAME`: the sweep's tables and figures, written into its report/ and printed."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from persona_exp.atomic_files import finite
from persona_exp.control_characters import escaped
from persona_exp.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

    from analysis.seed_aggregation import Row
    from analysis.sweep_results import Results
    from analysis.table_columns import Column

USAGE = 2

# Columns that eighty characters have no room for.
LEFT_OUT = ("token accuracy", "eval loss")
# The measure that the table leads with, and its difference.
LEADING = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m analysis.report", description="Tables and figures of a sweep.")
    parser.add_argument("folder", type=Path, help="the sweep's folder: runs/sweeps/NAME")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parsed = parser.parse_args(arguments)
    try:
        results, rows, paths = write(parsed.folder)
    except UserError as error:
        print(escaped(f"error: {error}"), file=sys.stderr)
        return USAGE
    if parsed.json:
        from analysis.report_json import report_json

        print(json.dumps(finite(report_json(results, rows, paths)), ensure_ascii=False, indent=2, allow_nan=False))
        return 0
    if sys.stdout.isatty():
        print_narrow(results, rows)
    else:
        print(escaped((parsed.folder / "report" / "table.md").read_text(encoding="utf-8")))
    for path in paths:
        print(path)
    if not any(path.name == "loss.pdf" for path in paths):
        print("No loss curves: no trial has logged a step.")
    return 0


def write(folder: Path) -> tuple[Results, list[Row], list[Path]]:
    """Write table.md, table.csv, table.tex, replies.md, figure and loss curves into `folder`/report; `folder` is runs/sweeps/NAME.

    Return the sweep's results, the table's rows and the files written. Raise UserError where the sweep cannot be read or its evaluations
    share no table.
    """
    from analysis.ablation_figure import draw_figure
    from analysis.csv_table import csv_text
    from analysis.latex_table import latex
    from analysis.loss_curves import draw_curves
    from analysis.markdown_report import markdown
    from analysis.model_size_figure import draw_model_sizes
    from analysis.replies_page import replies_markdown
    from analysis.search_report import draw_search
    from analysis.sweep_results import read_results, setting_keys
    from analysis.table_rows import build_rows
    from analysis.tuned_arms import reported
    from persona_exp.atomic_files import write_text
    from persona_exp.trial.generated_replies import compare_replies
    from persona_exp.trial.recorded_sweep import read_sweep

    place = folder.resolve()
    if place.parent.name != "sweeps":
        raise UserError(f"{folder} is no sweep's folder; give one below sweeps/, such as runs/sweeps/NAME.")
    results = reported(read_results(place.parent.parent, place.name))
    rows, keys, name = build_rows(results), setting_keys(results.sweep), results.sweep.name
    target = folder / "report"
    compared = compare_replies(place.parent.parent, read_sweep(place.parent.parent, name).trials)
    page = {"replies.md": replies_markdown(compared, name)} if compared.comparisons else {}
    texts = {
        "table.md": markdown(rows, keys, name, results.notes, results.tuning, results.sweep.note, replies="replies.md" if page else None),
        "table.csv": csv_text(rows, keys),
        "table.tex": latex(rows, keys, name, results.tuning),
        **page,
    }
    for file, text in texts.items():
        write_text(target / file, text)
    # Where arms are reported at values of their own, these are no axis.
    drawn = [key for key in keys if key not in results.sweep.tuned] if results.chosen else keys
    paths = [*(target / file for file in texts), *draw_figure(rows, drawn, target), *draw_model_sizes(rows, target)]
    paths += draw_curves(results, rows, target)
    try:
        paths += draw_search(folder)
    except UserError as error:
        # The table of the search is whole without its figures.
        print(f"No figures of the search: {error}", file=sys.stderr)
    return results, rows, paths


def print_narrow(results: Results, rows: Sequence[Row]) -> None:
    """Print the main figures for a terminal of eighty columns."""
    from rich.console import Console

    from analysis.base_or_instruct import family_verdicts
    from analysis.markdown_report import problems
    from analysis.table_caption import caption, warning
    from analysis.table_columns import narrow_columns
    from persona_exp.control_characters import escaped_text

    console = Console()
    if (loud := warning(rows)) is not None:
        console.print(escaped_text(loud, style="bold red"))
    columns = [one for one in narrow_columns(rows) if one.header not in LEFT_OUT]
    room = len(columns)
    table, width = _narrow_table(results, rows, columns)
    # Narrower still, both ends of an interval get a line, then the last columns have no room; the leading measure and its difference stay.
    while width > console.width and room >= LEADING:
        table, width = _narrow_table(results, rows, columns[:room], comma=",\n")
        room -= width > console.width
    console.print(table)
    if left := columns[max(room, LEADING) :]:
        console.print(escaped_text(f"(no room for {', '.join(one.header for one in left)}; table.md has all)", style="dim"))
    if results.sweep.note:
        console.print(escaped_text(results.sweep.note))
    console.print(escaped_text(" ".join(caption(rows, results.sweep.name, results.tuning))))
    for verdict in family_verdicts(rows):
        console.print(escaped_text(f"{verdict.family}: {verdict.winner}"))
    for problem, excerpt in problems(rows):
        console.print(escaped_text(problem, style="yellow"))
        for text in excerpt:
            console.print(escaped_text(f"    {text}", style="dim"))
    for note in results.notes:
        console.print(escaped_text(note))


def _narrow_table(results: Results, rows: Sequence[Row], columns: Sequence[Column], *, comma: str = ", ") -> tuple[Table, int]:
    """Return the table of these columns and the least width it takes; `comma` stands between the ends of an interval."""
    from rich.table import Table

    from analysis.sweep_results import setting_keys
    from analysis.table_grid import grid
    from persona_exp.control_characters import escaped_text

    found = grid(rows, setting_keys(results.sweep), list(columns))
    header = [title.replace(" [", "\n[").replace("/", "/\n") for title in found.header]
    lines = []
    for row, line in zip(rows, found.lines, strict=True):
        cells = [row.short_name, *line.cells[1:]]
        if line.span is not None:
            cells[found.lead] = line.span.partition(" (")[0]
        lines.append([text if " [" not in text else text.replace(" [", "\n[").replace(", ", comma) for text in cells])
    shown = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for place, title in enumerate(header):
        shown.add_column(escaped_text(title), justify="right" if place else "left", no_wrap=place > 0)
    for line, cells in zip(found.lines, lines, strict=True):
        shown.add_row(*(escaped_text(text, style="bold" if place in line.best else "") for place, text in enumerate(cells)))
    first, *others = zip(header, *lines, strict=True)
    widths = [max(map(len, " ".join(first).split())), *(max(len(part) for text in texts for part in text.split("\n")) for texts in others)]
    return shown, sum(widths) + 2 * len(others)


if __name__ == "__main__":
    sys.exit(main())
