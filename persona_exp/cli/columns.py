"""A table of plain text. A thousand rows are laid out in a millisecond, for which rich takes most of a second."""

import os
import sys
from collections.abc import Sequence

COLOURS = {
    "finished": "32",
    "running": "36",
    "queued": "34",
    "sealed": "2",
    "interrupted": "33",
    "held": "33",
    "failed": "31",
    "cancelled": "35",
    "pruned": "2",
    "missing": "31",
}

ELLIPSIS = "…"


def columns(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), status: int | None = None, widest: int = 60
) -> str:
    """`rows` under `header`, columns of places `right` flush right, cells cut at `widest`; what is empty in all rows is left out.

    The column of place `status` is coloured by the word that it begins with, on a terminal.
    """
    kept = [place for place in range(len(header)) if any(row[place] for row in rows)]
    lines = [[cut(row[place], widest) for place in kept] for row in [header, *rows]]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    shown = []
    for number, line in enumerate(lines):
        cells = []
        for place, width, text in zip(kept, widths, line, strict=True):
            padded = text.rjust(width) if place in right else text.ljust(width)
            if number == 0:
                padded = painted(padded, "1")
            elif place == status:
                padded = painted(padded, COLOURS.get(text.split(" ")[0], ""))
            cells.append(padded)
        shown.append("  ".join(cells).rstrip())
    return "\n".join(shown)


def cut(text: str, widest: int) -> str:
    """`text` in one line of at most `widest` characters; its indentation stays."""
    line = " " * (len(text) - len(text.lstrip(" "))) + " ".join(text.split())
    return line if len(line) <= widest else line[: widest - 1] + ELLIPSIS


def painted(text: str, colour: str) -> str:
    """`text` in an ANSI colour where standard output is a terminal and NO_COLOR is not set."""
    return f"\x1b[{colour}m{text}\x1b[0m" if colour and coloured() else text


def coloured() -> bool:
    """Whether output may carry colours: no-color.org."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and sys.stdout.isatty()
