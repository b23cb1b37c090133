"""The ablation table as Markdown, CSV and LaTeX (booktabs)."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.frame import shown
from analysis.rows import Problem, Row, metric_names, ordered_values
from analysis.statistics import DRAWS, SEED, Estimate

NONE = "–"
MINUS = "−"

SHORT_NAMES = {"base": "base", "base+system": "base + system", "adapter": "adapter"}

# Characters: a longer heading of the LaTeX table is broken.
LONG_HEADER = 11
NOT_SEPARABLE = "†"

# Under this many replies percentile intervals are known to be too narrow.
FEW_ITEMS = 30


@dataclass(frozen=True)
class Column:
    """One column of figures. `best` is +1 where more is better, -1 where less is, 0 where nothing is marked."""

    header: str
    cell: Callable[[Row], str]
    value: Callable[[Row], float | None]
    best: int = 0


def main_columns(rows: Sequence[Row]) -> list[Column]:
    """The columns of the main table behind the swept keys and the seeds."""
    per_token, per_text = int(_one_model(rows)), int(_one_data(rows))
    return [
        Column("perplexity [95 % CI]", lambda row: interval(row.perplexity, 2), lambda row: middle(row.perplexity), -per_token),
        Column("Δ [95 % CI]", lambda row: difference(row.difference), lambda row: middle(row.difference)),
        Column("bits/byte", lambda row: plain(middle(row.bits_per_byte), 3), lambda row: middle(row.bits_per_byte), -per_text),
        _metric("token accuracy", "token_accuracy", 3, per_token),
        _metric("eval loss", "eval_loss", 3, -per_token),
        _metric("ROUGE-L", "rougeL", 3, per_text),
        Column("tokens", lambda row: count(row.tokens), lambda row: None),
        Column("replies", lambda row: count(row.items), lambda row: None),
    ]


def narrow_columns(rows: Sequence[Row]) -> list[Column]:
    """The main columns without tokens and replies where all rows share them, which the caption says."""
    return [column for column in main_columns(rows) if column.header not in ("tokens", "replies") or not _same(rows, column)]


def further_columns(rows: Sequence[Row]) -> list[Column]:
    """The columns of the second table: what the main one has no room for."""
    known = {"perplexity", "bits_per_byte", "token_accuracy", "eval_loss", "rougeL"}
    names = [name for name in metric_names(rows) if name not in known]
    return [
        Column("bits/byte [95 % CI]", lambda row: interval(row.bits_per_byte, 3), lambda row: None),
        Column("perplexity of single seeds", _seed_range, lambda row: None),
        *(_metric(TITLES.get(name, name.replace("_", " ")), name, 2 if name in WIDE else 3, 0) for name in names),
        Column("generated", lambda row: count(row.generated) if row.items else NONE, lambda row: None),
    ]


TITLES = {
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "bleu": "BLEU",
    "jaccard": "Jaccard",
    "period_terms_per_1000_words": "period terms / 1,000 words",
    "reference_period_terms_per_1000_words": "period terms / 1,000 words, book",
}

# Metrics that run to 100 or 1,000 and not to 1.
WIDE = frozenset({"bleu", "period_terms_per_1000_words", "reference_period_terms_per_1000_words"})


def caption(rows: Sequence[Row], name: str) -> list[str]:
    """Sentences that say what the table holds, on what, and how its intervals were made."""
    done = [row for row in rows if row.items]
    if not done:
        return [f"Sweep {name}: no trial has been evaluated."]
    adapters = [row for row in done if row.condition == "adapter"]
    sentences = [
        f"Sweep {name}, {together(row.split for row in done)} split, data {together(row.data_id or 'unknown' for row in done)}: "
        f"{together(count(row.tokens) for row in done)} tokens in {together(count(row.items) for row in done)} held-out replies, "
        f"{together(count(row.generated) for row in done)} generated replies for the overlap measures."
    ]
    several = any(len(row.seeds) > 1 for row in adapters)
    drawn = "replies, and over seeds where a setting has several" if several else "replies"
    sentences.append(f"Brackets: 95 % percentile bootstrap over {drawn} ({DRAWS:,} draws, seed {SEED}).")
    if several:
        sentences.append("A setting with several seeds shows the mean of its seeds.")
    if any(len(row.seeds) == 1 for row in adapters):
        which = "Some settings have" if several else "Every setting has"
        sentences.append(f"{which} one seed (n = 1): brackets then say nothing of how another seed would come out.")
    if any(row.difference for row in adapters):
        sentences.append(
            "Δ: perplexity minus that of the base model with the system prompt on the same replies, paired; negative is better; "
            f"{NOT_SEPARABLE} (in the figure: a hollow point) marks an interval that includes 0: not separable from the base model. "
            "Judge by Δ, not by whether the brackets of two rows overlap."
        )
    elif adapters:
        sentences.append("No Δ: the base model with the system prompt has not been evaluated.")
    if len(adapters) > 1:
        sentences.append("Intervals are not corrected for the number of settings.")
        if _one_data(rows):
            sentences.append("Bold: best adapter of a column, not necessarily separable from the next.")
    if not _one_model(rows):
        if len({row.base_model for row in done}) > 1:
            sentences.append(
                "Base models differ: perplexity, token accuracy and loss are per token of each model's own tokeniser; "
                "compare bits/byte."
            )
        else:
            sentences.append("Data differ between settings: compare each with its own base rows (the data column says which).")
    if any(row.other_quantisation for row in adapters):
        sentences.append("The base rows ran at another precision (quantisation) than some adapters, which is part of their Δ.")
    if min(row.items for row in done) < FEW_ITEMS:
        sentences.append(f"Fewer than {FEW_ITEMS} replies: intervals are too narrow.")
    return sentences


def warning(rows: Sequence[Row]) -> str | None:
    """The line that keeps development figures from being read as results."""
    splits = {row.split for row in rows if row.split}
    return "VALIDATION SPLIT: development figures, not test results." if "validation" in splits else None


def markdown(rows: Sequence[Row], keys: Sequence[str], name: str, notes: Sequence[str]) -> str:
    """The report's page: warning, main table, caption, trials without figures, further measures."""
    parts = [f"# {name}"]
    if (loud := warning(rows)) is not None:
        parts.append(f"> **{loud}**")
    parts.append(_markdown_table(*grid(rows, keys, main_columns(rows))))
    parts.append(" ".join(caption(rows, name)))
    problems = [problem for row in rows for problem in row.problems]
    if problems:
        parts.append("## Trials without figures")
        parts.append("\n".join(f"- {_problem_line(problem)}" for problem in _once(problems)))
    if any(row.items for row in rows):
        parts.append("## Further measures")
        parts.append(_markdown_table(*grid(rows, keys, further_columns(rows))))
    if notes:
        parts.append("## Notes")
        parts.append("\n".join(f"- {note}" for note in notes))
    return "\n\n".join(parts) + "\n"


def csv_text(rows: Sequence[Row], keys: Sequence[str]) -> str:
    """One line a row with all figures unrounded (8 digits); empty cells where there is no figure."""
    metrics = metric_names(rows)
    written = [name for name in metrics if name not in ("perplexity", "bits_per_byte")]
    header = ["condition", *keys, "n_seeds", "planned_seeds", "seeds", "status", "cause", "message", "split", "data_id"]
    for name in ("perplexity", "perplexity_difference", "bits_per_byte"):
        header += [name, f"{name}_low", f"{name}_high"]
    header += ["separable", "perplexity_seed_min", "perplexity_seed_max", *written, "tokens", "items", "generated", "trial_ids"]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow(
            [
                row.condition,
                *(shown(row.overrides[key]) if key in row.overrides else "" for key in keys),
                len(row.seeds) if row.condition == "adapter" else "",
                row.planned if row.condition == "adapter" else "",
                " ".join(shown(seed) for seed in row.seeds),
                *_csv_state(row),
                row.split or "",
                row.data_id or "",
                *_csv_estimate(row.perplexity),
                *_csv_estimate(row.difference),
                *_csv_estimate(row.bits_per_byte),
                "" if row.difference is None else str(not row.difference.includes_zero).lower(),
                *((f"{min(row.by_seed):.8g}", f"{max(row.by_seed):.8g}") if row.by_seed else ("", "")),
                *(f"{row.metrics[name]:.8g}" if name in row.metrics else "" for name in written),
                row.tokens or "",
                row.items or "",
                row.generated if row.items else "",
                " ".join(row.trial_ids),
            ]
        )
    return buffer.getvalue()


def latex(rows: Sequence[Row], keys: Sequence[str], name: str) -> str:
    """A table float for a paper: needs `booktabs`. Tokens and replies that all rows share stand in the caption."""
    columns = narrow_columns(rows)
    header, body = grid(rows, keys, columns)
    lead = len(header) - len(columns)
    loud = warning(rows)
    text = " ".join(escaped(sentence) for sentence in caption(rows, name))
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table*}",
        "\\centering",
        "\\footnotesize",
        "\\setlength{\\tabcolsep}{3pt}",
        "\\caption{" + (f"\\textbf{{{escaped(loud)}}} " if loud else "") + text + "}",
        f"\\label{{tab:{_label(name)}}}",
        f"\\begin{{tabular}}{{@{{}}l{'r' * (lead - 1)}{'l' * len(columns)}@{{}}}}",
        "\\toprule",
        " & ".join(_latex_header(text) for text in header) + " \\\\",
        "\\midrule",
    ]
    previous = None
    for row, line in zip(rows, body, strict=True):
        if previous is not None and (previous == "adapter") != (row.condition == "adapter"):
            lines.append("\\midrule")
        previous = row.condition
        cells = [_latex_cell(cell) for cell in [SHORT_NAMES[row.condition], *line.cells[1:]]]
        if line.span is not None:
            cells = [*cells[:lead], f"\\multicolumn{{{len(columns)}}}{{l}}{{\\emph{{{escaped(line.span)}}}}}"]
        lines.append(" & ".join(cells) + " \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", "\\end{table*}"]) + "\n"


@dataclass(frozen=True)
class Line:
    """One line of text cells, the best ones between `**`. `span` replaces the figures where there are none."""

    cells: list[str]
    span: str | None


def grid(rows: Sequence[Row], keys: Sequence[str], columns: Sequence[Column]) -> tuple[list[str], list[Line]]:
    """Header and lines as text, with one column for each swept key that has a value, and one for the data where they differ."""
    shown_keys = [key for key in keys if any(key in row.overrides for row in rows)]
    data = not _one_data(rows)
    header = ["", *shown_keys, *(["data"] if data else []), "seeds", *(column.header for column in columns)]
    adapters = [row for row in rows if row.condition == "adapter" and row.items]
    best = {column.header: _best(adapters, column) for column in columns}
    lines = []
    for row in rows:
        cells = [row.name, *(shown(row.overrides[key]) if key in row.overrides else NONE for key in shown_keys)]
        cells += [row.data_id or NONE] if data else []
        cells.append(_seeds(row))
        for column in columns:
            text = column.cell(row) if row.items else NONE
            cells.append(f"**{text}**" if row.condition == "adapter" and row.items and text in best[column.header] else text)
        span = "; ".join(dict.fromkeys(problem.reason() for problem in row.problems)) if not row.items else None
        lines.append(Line(cells, span))
    return header, lines


def interval(estimate: Estimate | None, digits: int) -> str:
    """`74.21 [70.10, 78.33]`."""
    if estimate is None:
        return NONE
    return f"{plain(estimate.value, digits)} [{plain(estimate.low, digits)}, {plain(estimate.high, digits)}]"


def difference(estimate: Estimate | None) -> str:
    """`−1.20 [−2.31, −0.15]`, with a dagger where the interval includes 0."""
    if estimate is None:
        return NONE
    parts = [("+" if value > 0 else "") + plain(value, 2) for value in (estimate.value, estimate.low, estimate.high)]
    return f"{parts[0]} [{parts[1]}, {parts[2]}]" + (NOT_SEPARABLE if estimate.includes_zero else "")


def plain(value: float | None, digits: int) -> str:
    """A figure with `digits` decimals, fewer where it is large, and a true minus sign."""
    if value is None:
        return NONE
    return f"{value:,.{0 if abs(value) >= 1000 else digits}f}".replace("-", MINUS)


def count(value: int) -> str:
    return f"{value:,}"


def middle(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.value


def together(values: Any) -> str:
    """`test`, or `24 or 48` where rows differ."""
    return " or ".join(str(value) for value in ordered_values(list(values)))


def escaped(text: str) -> str:
    """`text` for LaTeX."""
    return "".join(LATEX.get(character, character) for character in text)


LATEX = {
    "\\": "\\textbackslash{}", "&": "\\&", "%": "\\%", "$": "\\$", "#": "\\#", "_": "\\_", "{": "\\{", "}": "\\}",
    "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "<": "\\textless{}", ">": "\\textgreater{}", "|": "\\textbar{}",
    "–": "--", "−": "$-$", "Δ": "$\\Delta$", "†": "\\textsuperscript{\\textdagger}", "\n": " ",
}  # fmt: skip


def _metric(header: str, name: str, digits: int, best: int) -> Column:
    return Column(header, lambda row: plain(row.metrics.get(name), digits), lambda row: row.metrics.get(name), best)


def _one_data(rows: Sequence[Row]) -> bool:
    return len({row.data_id for row in rows if row.items}) <= 1


def _one_model(rows: Sequence[Row]) -> bool:
    """Whether figures per token compare between rows: one tokeniser, one text."""
    return len({row.base_model for row in rows if row.items}) <= 1 and _one_data(rows)


def _best(adapters: Sequence[Row], column: Column) -> set[str]:
    """The texts that show the best value: what rounds to the same is equally good."""
    if len(adapters) < 2 or not column.best:
        return set()
    valued = [(column.best * value, column.cell(row)) for row in adapters if (value := column.value(row)) is not None]
    # Where all are equally good, none stands out.
    return {max(valued)[1]} if len({text for _, text in valued}) > 1 else set()


def _same(rows: Sequence[Row], column: Column) -> bool:
    return len({column.cell(row) for row in rows if row.items}) <= 1


def _seeds(row: Row) -> str:
    if row.condition != "adapter":
        return NONE
    return str(row.planned) if len(row.seeds) == row.planned else f"{len(row.seeds)} of {row.planned}"


def _seed_range(row: Row) -> str:
    return f"{plain(min(row.by_seed), 2)} to {plain(max(row.by_seed), 2)}" if len(row.by_seed) > 1 else NONE


def _once(problems: Sequence[Problem]) -> list[Problem]:
    """A base trial that failed leaves two rows empty, and is named once."""
    return list({(problem.trial_id, str(problem.overrides)): problem for problem in problems}.values())


def _problem_line(problem: Problem) -> str:
    place = ", ".join(f"{key}={shown(value)}" for key, value in problem.overrides.items())
    what = "base model" if problem.condition != "adapter" else place or "adapter"
    message = " ".join((problem.message or "").split())
    return f"{what} (trial {problem.trial_id}): {problem.reason()}" + (f": {message}" if message else "")


def _markdown_table(header: Sequence[str], lines: Sequence[Line]) -> str:
    lead = next(place for place, text in enumerate(header) if text == "seeds") + 1
    body = [[_markdown_cell(cell) for cell in line.cells] for line in lines]
    for cells, line in zip(body, lines, strict=True):
        if line.span is not None:
            cells[lead] = f"*{_markdown_cell(line.span)}*"
    table = [[_markdown_cell(cell) for cell in header], *body]
    widths = [max(3, *(len(cells[place]) for cells in table)) for place in range(len(header))]
    text = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |" for cells in table]
    rule = "|" + "|".join("-" * (width + 2) if place < 1 else "-" * (width + 1) + ":" for place, width in enumerate(widths)) + "|"
    return "\n".join([text[0], rule, *text[1:]])


def _markdown_cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _latex_header(text: str) -> str:
    """A heading in two lines where one would make its column wider than the figures below."""
    key = "." in text
    first, sign, second = text.partition(" [") if "[" in text else text.rpartition("." if key else " ")
    if not first or len(text) < LONG_HEADER:
        return _typewritten(text) if key else escaped(text)
    parts = [first + (sign if key else ""), ("[" if "[" in text else "") + second]
    # Braces: a bracket after a line break would be read as its argument.
    lines = [_typewritten(part) if key else f"{{{escaped(part)}}}" for part in parts]
    return f"\\shortstack[l]{{{' '.join([lines[0], chr(92) * 2, lines[1]])}}}"


def _typewritten(text: str) -> str:
    return f"\\texttt{{{escaped(text)}}}"


def _latex_cell(text: str) -> str:
    if text.startswith("**") and text.endswith("**"):
        return f"\\textbf{{{escaped(text[2:-2])}}}"
    return escaped(text)


def _label(name: str) -> str:
    return "".join(character if character.isalnum() else "-" for character in name)


def _csv_state(row: Row) -> tuple[str, str, str]:
    if not row.problems:
        return "evaluated", "", ""
    causes, messages = (
        "; ".join(dict.fromkeys(" ".join(text.split()) for problem in row.problems if (text := getattr(problem, name))))
        for name in ("cause", "message")
    )
    status = "; ".join(dict.fromkeys(problem.status for problem in row.problems))
    return (f"evaluated in part; {status}" if row.items else status), causes, messages


def _csv_estimate(estimate: Estimate | None) -> tuple[str, str, str]:
    if estimate is None:
        return "", "", ""
    return f"{estimate.value:.8g}", f"{estimate.low:.8g}", f"{estimate.high:.8g}"
