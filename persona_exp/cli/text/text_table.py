"""A table of plain text. A thousand rows are laid out in a millisecond, for which rich takes most of a second."""

import shutil
from collections.abc import Sequence

from persona_exp.cli.text.terminal_colours import STATUS_COLOURS, painted

ELLIPSIS = "…"
# What stays of a last column in a narrow terminal.
LEAST_LAST = 24


def text_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Sequence[int] = (),
    status: int | None = None,
    widest: int = 60,
    spare: Sequence[int] = (),
) -> str:
    """Return `rows` under `header`, columns of places `right` flush right, cells cut at `widest`; what is empty in all rows is left out.

    The column of place `status` is coloured by the word that it begins with, on a terminal. Where that is too narrow for all, the last
    column is cut, and those of places `spare` are left out, the first first, and named below the table.
    """
    kept = [place for place in range(len(header)) if any(row[place] for row in rows)]
    lines = [[cut_line(text, widest) for text in row] for row in [header, *rows]]
    widths = [max(len(line[place]) for line in lines) for place in range(len(header))]
    missing = _fit(kept, widths, spare) if spare else []
    shown = []
    for number, line in enumerate(lines):
        cells = []
        for place in kept:
            text = cut_line(line[place], widths[place])
            padded = text.rjust(widths[place]) if place in right else text.ljust(widths[place])
            if number == 0:
                padded = painted(padded, "1")
            elif place == status:
                padded = painted(padded, STATUS_COLOURS.get(text.split(" ")[0], ""))
            cells.append(padded)
        shown.append("  ".join(cells).rstrip())
    shown += [painted(f"(no room for {', '.join(header[place] for place in missing)})", "2")] if missing else []
    return "\n".join(shown)


def _fit(kept: list[int], widths: list[int], spare: Sequence[int]) -> list[int]:
    """Make `kept` and the last of `widths` fit the terminal as well as can be; return the places that are left out."""
    room, missing = terminal_width(), []
    for place in (place for place in spare if place in kept):
        *before, last = kept
        if sum(widths[one] + 2 for one in before) + min(widths[last], LEAST_LAST) <= room:
            break
        kept.remove(place)
        missing.append(place)
    *before, last = kept
    widths[last] = int(min(widths[last], max(room - sum(widths[one] + 2 for one in before), LEAST_LAST)))
    return missing


def terminal_width() -> float:
    """Return the columns of the terminal, from $COLUMNS or itself; infinity for a pipe or a file."""
    return shutil.get_terminal_size((0, 0)).columns or float("inf")


def cut_line(text: str, widest: int) -> str:
    """Return `text` in one line of at most `widest` characters; its indentation stays."""
    line = " " * (len(text) - len(text.lstrip(" "))) + " ".join(text.split())
    return line if len(line) <= widest else line[: widest - 1] + ELLIPSIS
