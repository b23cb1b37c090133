"""The ablation table: columns, cells and caption, as text for Markdown, LaTeX and the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from analysis.rows import Row, metric_names, one_model, one_text
from analysis.statistics import DRAWS, SEED, Estimate
from analysis.values import ordered, shown

NONE = "–"
MINUS = "−"
NOT_SEPARABLE = "†"

# Under this many replies percentile intervals are known to be too narrow.
FEW_ITEMS = 30

# Columns that the caption speaks for where all rows share them.
SIZES = ("tokens", "replies")

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


@dataclass(frozen=True)
class Column:
    """One column of figures of evaluated rows. `best` is +1 where more is better, -1 where less is, 0 where nothing is marked."""

    header: str
    cell: Callable[[Row], str]
    value: Callable[[Row], float | None] = lambda row: None
    best: int = 0


@dataclass(frozen=True)
class Line:
    """One line of text cells, and the places of the best ones. `span` replaces the figures where there are none."""

    cells: list[str]
    best: frozenset[int]
    span: str | None


@dataclass(frozen=True)
class Grid:
    """A table as text. The figures begin at `lead`; before them are name, swept keys, data where they differ, and seeds."""

    header: list[str]
    lines: list[Line]
    lead: int


def grid(rows: Sequence[Row], keys: Sequence[str], columns: Sequence[Column]) -> Grid:
    """`rows` under one column for each swept key that has a value, and one for the data where they differ."""
    keys = [key for key in keys if any(key in row.overrides for row in rows)]
    data = ["data"] if len({row.sample.data_id for row in rows if row.items}) > 1 else []
    header = ["", *keys, *data, "seeds"]
    lead = len(header)
    best = [_best(rows, column) for column in columns]
    lines = []
    for row in rows:
        cells = [row.name, *(shown(row.overrides[key]) if key in row.overrides else NONE for key in keys)]
        cells += [row.sample.data_id or NONE] if data else []
        cells += [_seeds(row), *(column.cell(row) if row.items else NONE for column in columns)]
        marked = {lead + place for place, texts in enumerate(best) if row.condition == "adapter" and cells[lead + place] in texts}
        span = None if row.items else "; ".join(dict.fromkeys(one.reason for one in row.problems))
        lines.append(Line(cells, frozenset(marked), span))
    return Grid([*header, *(column.header for column in columns)], lines, lead)


def main_columns(rows: Sequence[Row]) -> list[Column]:
    """The columns of the main table."""
    per_token, per_text = int(one_model(rows)), int(one_text(rows))
    return [
        Column("perplexity [95 % CI]", lambda row: interval(row.perplexity, 2), lambda row: _middle(row.perplexity), -per_token),
        Column("Δ [95 % CI]", lambda row: difference(row.difference)),
        Column("bits/byte", lambda row: plain(_middle(row.bits_per_byte), 3), lambda row: _middle(row.bits_per_byte), -per_text),
        _metric("token accuracy", "token_accuracy", 3, per_token),
        _metric("eval loss", "eval_loss", 3, -per_token),
        _metric("ROUGE-L", "rougeL", 3, per_text),
        Column("tokens", lambda row: f"{row.tokens:,}"),
        Column("replies", lambda row: f"{row.items:,}"),
    ]


def narrow_columns(rows: Sequence[Row]) -> list[Column]:
    """The main columns without tokens and replies where all rows share them, which the caption says."""
    done = [row for row in rows if row.items]
    return [one for one in main_columns(rows) if one.header not in SIZES or len({one.cell(row) for row in done}) > 1]


def further_columns(rows: Sequence[Row]) -> list[Column]:
    """The columns of the second table: what the main one has no room for."""
    known = ("perplexity", "bits_per_byte", "token_accuracy", "eval_loss", "rougeL")
    return [
        Column("bits/byte [95 % CI]", lambda row: interval(row.bits_per_byte, 3)),
        Column("perplexity of single seeds", _seed_range),
        *(
            _metric(TITLES.get(name, name.replace("_", " ")), name, 2 if name in WIDE else 3, 0)
            for name in metric_names(rows)
            if name not in known
        ),
        Column("generated", lambda row: f"{row.generated:,}"),
    ]


def caption(rows: Sequence[Row], name: str) -> list[str]:
    """Sentences that say what the table holds, on what, and how its intervals were made."""
    done = [row for row in rows if row.items]
    if not done:
        return [f"Sweep {name}: no trial has been evaluated."]
    adapters = [row for row in done if row.condition == "adapter"]
    sentences = [
        f"Sweep {name}, {_together(row.split for row in done)} split, data {_together(row.sample.data_id or 'unknown' for row in done)}: "
        f"{_together(f'{row.tokens:,}' for row in done)} tokens in {_together(f'{row.items:,}' for row in done)} held-out replies, "
        f"{_together(f'{row.generated:,}' for row in done)} generated replies for the overlap measures."
    ]
    several = any(len(row.seeds) > 1 for row in adapters)
    drawn = "replies, and over seeds where a setting has several" if several else "replies"
    sentences.append(f"Brackets: 95 % percentile bootstrap over {drawn} ({DRAWS:,} draws, seed {SEED}).")
    if several:
        sentences.append("A setting with several seeds shows the mean of its seeds.")
    if any(len(row.seeds) == 1 for row in adapters):
        which = "Some settings have" if several else "Every setting has"
        sentences.append(f"{which} one seed (n = 1): brackets then say nothing of how another seed would come out.")
    if any(one.stops_early for row in adapters for one in row.outcomes):
        sentences.append("Early stopping: an adapter is the best of its training by validation loss (`persona-exp show` has the steps).")
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
        if one_text(rows):
            sentences.append("Bold: best adapter of a column, not necessarily separable from the next.")
    if len({row.sample.base_model for row in done}) > 1:
        sentences.append(
            "Base models differ: perplexity, token accuracy and loss are per token of each model's own tokeniser; compare bits/byte."
        )
    if len({row.sample.data_id for row in done}) > 1:
        sentences.append("Data differ between settings: compare each with its own base rows (the data column says which).")
    elif not one_text(rows):
        sentences.append("Evaluations differ between settings: compare each with its own base rows.")
    if any(row.other_quantisation for row in adapters):
        sentences.append("The base rows ran at another precision (quantisation) than some adapters, which is part of their Δ.")
    if min(row.items for row in done) < FEW_ITEMS:
        sentences.append(f"Fewer than {FEW_ITEMS} replies: intervals are too narrow.")
    return sentences


def warning(rows: Sequence[Row]) -> str | None:
    """The line that keeps development figures from being read as results."""
    validated = [row for row in rows if row.split == "validation"]
    if not validated:
        return None
    chosen = " Early stopping chose adapters on it." if any(one.stops_early for row in validated for one in row.outcomes) else ""
    return f"VALIDATION SPLIT: development figures, not test results.{chosen}"


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
    """A figure with `digits` decimals, none where it is large, and a true minus sign."""
    if value is None:
        return NONE
    return f"{value:,.{0 if abs(value) >= 1000 else digits}f}".replace("-", MINUS)


def _metric(header: str, name: str, digits: int, best: int) -> Column:
    return Column(header, lambda row: plain(row.metrics.get(name), digits), lambda row: row.metrics.get(name), best)


def _middle(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.value


def _together(values: Iterable[str | None]) -> str:
    """`test`, or `24 or 48` where rows differ."""
    return " or ".join(str(value) for value in ordered(values))


def _best(rows: Sequence[Row], column: Column) -> set[str]:
    """The text that shows the best adapter's value: what rounds to the same is equally good."""
    adapters = [row for row in rows if row.condition == "adapter" and row.items]
    valued = [(column.best * value, column.cell(row)) for row in adapters if (value := column.value(row)) is not None]
    # Where all are equally good, none stands out.
    return {max(valued)[1]} if column.best and len({text for _, text in valued}) > 1 else set()


def _seeds(row: Row) -> str:
    if row.condition != "adapter":
        return NONE
    planned = len(row.outcomes)
    return str(planned) if len(row.seeds) == planned else f"{len(row.seeds)} of {planned}"


def _seed_range(row: Row) -> str:
    return f"{plain(min(row.by_seed), 2)} to {plain(max(row.by_seed), 2)}" if len(row.by_seed) > 1 else NONE
