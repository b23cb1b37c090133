"""The ablation table as a LaTeX float (booktabs)."""

from __future__ import annotations

import re
import unicodedata
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
    "≤": "$\\leq$",
    "≥": "$\\geq$",
    "≠": "$\\neq$",
    "≈": "$\\approx$",
    "±": "$\\pm$",
    "×": "$\\times$",
    "·": "$\\cdot$",
    "÷": "$\\div$",
    "∞": "$\\infty$",
    "→": "$\\to$",
    "←": "$\\gets$",
    "°": "\\textdegree{}",
    "—": "---",
    "…": "\\dots{}",
    "“": "``",
    "”": "''",
    "„": "\\quotedblbase{}",
    "‘": "`",
    "’": "'",
    "\u00a0": "~",
    "ß": "\\ss{}",
    "æ": "\\ae{}",
    "Æ": "\\AE{}",
    "œ": "\\oe{}",
    "Œ": "\\OE{}",
    "ø": "\\o{}",
    "Ø": "\\O{}",
    "ł": "\\l{}",
    "Ł": "\\L{}",
    "ı": "\\i{}",
}
CODE_POINT = re.compile(r"U\+([0-9A-F]{4,5})")
# Combining characters, and the command that sets each over a letter.
ACCENTS = {
    "\u0300": "\\`",
    "\u0301": "\\'",
    "\u0302": "\\^",
    "\u0303": "\\~",
    "\u0304": "\\=",
    "\u0306": "\\u",
    "\u0307": "\\.",
    "\u0308": '\\"',
    "\u030a": "\\r",
    "\u030b": "\\H",
    "\u030c": "\\v",
    "\u0327": "\\c",
    "\u0328": "\\k",
}
GREEK = {
    "μ": "mu",
    "µ": "mu",
    "α": "alpha",
    "β": "beta",
    "γ": "gamma",
    "δ": "delta",
    "ε": "epsilon",
    "η": "eta",
    "θ": "theta",
    "λ": "lambda",
}
GREEK |= {"π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau", "φ": "phi", "χ": "chi", "ω": "omega", "Σ": "Sigma", "Ω": "Omega"}


def latex(rows: Sequence[Row], keys: Sequence[str], name: str, tuning: Sequence[str] = ()) -> str:
    """Return a table float for a paper: needs `booktabs`. Tokens and replies that all rows share stand in the caption."""
    table = grid(rows, keys, narrow_columns(rows))
    loud = warning(rows)
    text = (f"\\textbf{{{escaped(loud)}}} " if loud else "") + " ".join(map(escaped, caption(rows, name, tuning)))
    label = "".join(character if character.isascii() and character.isalnum() else "-" for character in name)
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
    lines += ["\\bottomrule", "\\end{tabular}", "\\end{table*}"]
    # Named for a reader, who may have a letter for them.
    codes = sorted({found for line in lines for found in CODE_POINT.findall(line)})
    lines[1:1] = [f"% U+{code} is {chr(int(code, 16))}, for which pdflatex has no letter" for code in codes]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Return `text` for LaTeX, in ASCII: what pdflatex has no letter for stands as its code point, `U+6F22`."""
    return "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    if character in ESCAPES:
        return ESCAPES[character]
    if character.isascii():
        return character if character.isprintable() else " "
    if character in GREEK:
        return f"$\\{GREEK[character]}$"
    letter, *marks = list(unicodedata.normalize("NFD", character))
    if letter.isascii() and len(marks) == 1 and marks[0] in ACCENTS:
        return f"{ACCENTS[marks[0]]}{{{letter}}}"
    return f"U+{ord(character):04X}"


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
