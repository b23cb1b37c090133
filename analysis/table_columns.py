"""The columns of the tables: which figures, with how many decimals, and which of them is best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from analysis.bootstrap_intervals import Estimate
from analysis.comparable_rows import one_model, one_text
from analysis.seed_aggregation import Row

NONE = "–"
MINUS = "−"
NOT_SEPARABLE = "†"

# Of the replies that a model wrote, how many were cut or loop, as evaluations count them (version 2 and later).
WRITTEN = {"truncated_replies": "were cut at evaluation.max_new_tokens", "looping_replies": "say the same over and over"}


# Columns that the caption speaks for where all rows share them.
SIZES = ("tokens", "replies")

TITLES = {
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "bleu": "BLEU",
    "jaccard": "Jaccard",
    "truncated_replies": "cut replies",
    "looping_replies": "looping replies",
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


def main_columns(rows: Sequence[Row]) -> list[Column]:
    """Return the columns of the main table."""
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
    """Return the main columns without tokens and replies where all rows share them, which the caption says."""
    done = [row for row in rows if row.items]
    return [one for one in main_columns(rows) if one.header not in SIZES or len({one.cell(row) for row in done}) > 1]


def further_columns(rows: Sequence[Row]) -> list[Column]:
    """Return the columns of the second table: what the main one has no room for."""
    known = ("perplexity", "bits_per_byte", "token_accuracy", "eval_loss", "rougeL")
    return [
        Column("bits/byte [95 % CI]", lambda row: interval(row.bits_per_byte, 3)),
        Column("perplexity of single seeds", _seed_range),
        *(_counted(TITLES[name], name) for name in WRITTEN),
        *(
            _metric(TITLES.get(name, name.replace("_", " ")), name, 2 if name in WIDE else 3, 0)
            for name in metric_names(rows)
            if name not in (*known, *WRITTEN)
        ),
        Column("generated", _generated),
    ]


def interval(estimate: Estimate | None, digits: int) -> str:
    """Return `74.21 [70.10, 78.33]`."""
    if estimate is None:
        return NONE
    return f"{plain(estimate.value, digits)} [{plain(estimate.low, digits)}, {plain(estimate.high, digits)}]"


def difference(estimate: Estimate | None) -> str:
    """Return `−1.20 [−2.31, −0.15]`, with a dagger where the interval includes 0."""
    if estimate is None:
        return NONE
    parts = [("+" if value > 0 else "") + plain(value, 2) for value in (estimate.value, estimate.low, estimate.high)]
    return f"{parts[0]} [{parts[1]}, {parts[2]}]" + (NOT_SEPARABLE if estimate.includes_zero else "")


def plain(value: float | None, digits: int) -> str:
    """Return a figure with `digits` decimals, none where it is large, and a true minus sign."""
    if value is None:
        return NONE
    return f"{value:,.{0 if abs(value) >= 1000 else digits}f}".replace("-", MINUS)


def _metric(header: str, name: str, digits: int, best: int) -> Column:
    return Column(header, lambda row: plain(row.metrics.get(name), digits), lambda row: row.metrics.get(name), best)


def _counted(header: str, name: str) -> Column:
    """Return a column of the generated replies counted as `name`, seeds together; a dash where an evaluation does not count them."""

    def cell(row: Row) -> str:
        counts = [one.counts for one in row.evaluated]
        if not all(name in one for one in counts):
            return NONE
        return f"{sum(one[name] for one in counts):,} of {sum(one.get('spoken_items', 0) for one in counts):,}"

    return Column(header, cell)


def _generated(row: Row) -> str:
    """Return `24`, or `24 × 3` of three seeds."""
    seeds = len(row.evaluated)
    return f"{row.generated:,}" + (f" × {seeds}" if seeds > 1 else "")


def _middle(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.value


def _seed_range(row: Row) -> str:
    return f"{plain(min(row.by_seed), 2)} to {plain(max(row.by_seed), 2)}" if len(row.by_seed) > 1 else NONE


def metric_names(rows: Sequence[Row]) -> list[str]:
    """Return every metric that some row has, in the order in which evaluations write them."""
    return list(dict.fromkeys(name for row in rows for name in row.metrics))
