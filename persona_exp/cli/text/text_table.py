"""A table of plain text. A thousand rows are laid out in a millisecond, for which rich takes most of a second."""

import shutil
from collections.abc import Sequence

from persona_exp.cli.text.sentence_lines import sentence_lines
from persona_exp.cli.text.terminal_colours import STATUS_COLOURS, painted

ELLIPSIS = "…"
# What stays of a last column in a narrow terminal.
LEAST_LAST = 24
# In front of what of a row stands on further lines.
INDENT = "    "


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
    column is cut, and those of places `spare` are left out, the first first, and named below the table. Without `spare`, a row takes as
    many lines as its columns need.
    """
    kept = [place for place in range(len(header)) if any(row[place] for row in rows)]
    lines = [[cut_line(text, widest) for text in row] for row in [header, *rows]]
    widths = [max(len(line[place]) for line in lines) for place in range(len(header))]
    missing = _fit(kept, widths, spare) if spare else []
    folds = [kept] if spare else _folds(kept, widths)
    shown = []
    for number, line in enumerate(lines):
        for fold in folds:
            indent = INDENT if fold is not folds[0] else ""
            if len(folds) > 1 and len(fold) == 1:
                texts = sentence_lines(f"{indent}{line[fold[0]]}", terminal_width(), INDENT)
                shown += [painted(text, "1") if number == 0 else text for text in texts if text.strip()]
                continue
            cells = []
            for place in fold:
                text = cut_line(line[place], widths[place])
                padded = text.rjust(widths[place]) if place in right else text.ljust(widths[place])
                if number == 0:
                    padded = painted(padded, "1")
                elif place == status:
                    padded = painted(padded, STATUS_COLOURS.get(text.split(" ")[0], ""))
                cells.append(padded)
            if fold is folds[0] or any(line[place] for place in fold):
                shown.append(f"{indent}{'  '.join(cells)}".rstrip())
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


def _folds(kept: Sequence[int], widths: Sequence[int]) -> list[list[int]]:
    """Return the columns line by line: as many on each as the terminal has room for, one at least."""
    room, folds, filled = terminal_width(), [list(kept[:1])], widths[kept[0]] if kept else 0
    for place in kept[1:]:
        filled += 2 + widths[place]
        if filled <= room:
            folds[-1].append(place)
        else:
            folds.append([place])
            filled = len(INDENT) + widths[place]
    return folds


def terminal_width() -> float:
    """Return the columns of the terminal, from $COLUMNS or itself; infinity for a pipe or a file."""
    return shutil.get_terminal_size((0, 0)).columns or float("inf")


def cut_line(text: str, widest: int) -> str:
    """Return `text` in one line of at most `widest` characters; its indentation stays."""
    line = " " * (len(text) - len(text.lstrip(" "))) + " ".join(text.split())
    return line if len(line) <= widest else line[: widest - 1] + ELLIPSIS
