"""The ablation table as a LaTeX float (booktabs)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from analysis.seed_aggregation import Row
from analysis.table_caption import caption, warning
from analysis.table_columns import narrow_columns
from analysis.table_grid import Line, grid

# Characters: a longer heading goes into two lines, where one would make its column wider than the figures below.
LONG_HEADER = 11

ESCAPES = {
    "\\": "\\textbackslash{}",
    "&": "\\&",
    "%": "\\%",
    "$": "\\$",
    "#": "\\#",
    "_": "\\_",
    "{": "\\{",
    "}": "\\}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    "|": "\\textbar{}",
    "–": "--",
    "−": "$-$",
    "Δ": "$\\Delta$",
    "†": "\\textsuperscript{\\textdagger}",
    "‡": "\\textsuperscript{\\textdaggerdbl}",
    "\n": " ",
}


def latex(rows: Sequence[Row], keys: Sequence[str], name: str, tuning: Sequence[str] = ()) -> str:
    """Return a table float for a paper: needs `booktabs`. Tokens and replies that all rows share stand in the caption."""
    table = grid(rows, keys, narrow_columns(rows))
    loud = warning(rows)
    text = (f"\\textbf{{{escaped(loud)}}} " if loud else "") + " ".join(map(escaped, caption(rows, name, tuning)))
    label = "".join(character if character.isalnum() else "-" for character in name)
    figures = len(table.header) - table.lead
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table*}",
        "\\centering",
        "\\footnotesize",
        "\\setlength{\\tabcolsep}{3pt}",
        f"\\caption{{{text}}}",
        f"\\label{{tab:{label}}}",
        f"\\begin{{tabular}}{{@{{}}l{'r' * (table.lead - 1)}{'l' * figures}@{{}}}}",
        "\\toprule",
        " & ".join(map(_header, table.header)) + " \\\\",
    ]
    for _, part in groupby(zip(rows, table.lines, strict=True), key=lambda pair: pair[0].condition == "adapter"):
        lines.append("\\midrule")
        lines += [" & ".join(_cells(row, line, table.lead)) + " \\\\" for row, line in part]
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", "\\end{table*}"]) + "\n"


def escaped(text: str) -> str:
    """Return `text` for LaTeX."""
    return "".join(ESCAPES.get(character, character) for character in text)


def _cells(row: Row, line: Line, lead: int) -> list[str]:
    cells = [f"\\textbf{{{escaped(text)}}}" if place in line.best else escaped(text) for place, text in enumerate(line.cells)]
    cells[0] = escaped(row.short_name)
    if line.span is None:
        return cells
    return [*cells[:lead], f"\\multicolumn{{{len(cells) - lead}}}{{l}}{{\\emph{{{escaped(line.span)}}}}}"]


def _header(text: str) -> str:
    """Return a heading, a swept key as on the command line."""
    key = "." in text
    cut = max(text.find(" [") if "[" in text else text.rfind(" "), text.rfind(".") + 1)
    parts = [text] if len(text) < LONG_HEADER or cut < 1 else [text[:cut], text[cut:].strip()]
    styled = [f"\\texttt{{{escaped(part)}}}" if key else escaped(part) for part in parts]
    if len(styled) == 1:
        return styled[0]
    # Braces: a bracket after a line break would be read as its argument.
    return f"\\shortstack[l]{{{{{styled[0]}}} \\\\ {{{styled[1]}}}}}"
