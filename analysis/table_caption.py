"""The table's caption and warning: what it holds, on what, with which reservations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from analysis.bootstrap_intervals import DRAWS, SEED
from analysis.comparable_rows import newest, one_text
from analysis.seed_aggregation import OUTDATED_MARK, Row
from analysis.swept_values import ordered_values
from analysis.table_columns import NOT_SEPARABLE, WRITTEN
from persona_exp.atomic_files import canonical_json
from persona_exp.trial.comparability import all_outdated

# Under this many replies percentile intervals are known to be too narrow.
FEW_ITEMS = 30


NO_BASE = "the base model with the system prompt was not evaluated at that precision, on those data, in that way"


def caption(rows: Sequence[Row], name: str, tuning: Sequence[str] = ()) -> list[str]:
    """Return sentences that say what the table holds, on what, and how its intervals were made; `tuning` says how arms were tuned."""
    done = [row for row in rows if row.items]
    if not done:
        return [f"Sweep {name}: no trial has been evaluated.", *tuning]
    adapters = [row for row in done if row.condition == "adapter"]
    sentences = [
        f"Sweep {name}, {_together(row.split for row in done)} split, data {_together(row.sample.data_id or 'unknown' for row in done)}: "
        f"{_together(f'{row.tokens:,}' for row in done)} tokens in {_together(f'{row.items:,}' for row in done)} held-out replies, "
        f"{_together(f'{row.generated:,}' for row in done)} generated replies for the overlap measures."
    ]
    sentences += [*tuning, *_written(done)]
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
        sentences.append(f"No Δ: {NO_BASE}.")
    if len(adapters) > 1:
        sentences.append("Intervals are not corrected for the number of settings.")
        if one_text(rows):
            sentences.append("Bold: best adapter of a column, not necessarily separable from the next.")
    sentences += _grounds(rows, adapters)
    if len({canonical_json(row.sample.basis.model) for row in done}) > 1:
        sentences.append(
            "Base models differ: perplexity, token accuracy and loss are per token of each model's own tokeniser; compare bits/byte."
        )
    if len({row.sample.data_id for row in done}) > 1:
        sentences.append("Data differ between settings: compare each with its own base rows (the data column says which).")
    elif not one_text(rows):
        sentences.append("Evaluations differ between settings: compare each with its own base rows.")
    if min(row.items for row in done) < FEW_ITEMS:
        sentences.append(f"Fewer than {FEW_ITEMS} replies: intervals are too narrow.")
    return sentences


def _grounds(rows: Sequence[Row], adapters: Sequence[Row]) -> list[str]:
    """Return what is compared with what, where base rows, precisions or versions are several."""
    sentences = []
    precisions = {canonical_json(row.sample.basis.precision) for row in rows if row.items}
    if len(precisions) > 1 and any(row.difference for row in adapters):
        sentences.append("Precisions differ: each Δ is from the base row of the adapter's own.")
    if len({row.sample.precision for row in rows if row.sample.precision}) > 1:
        sentences.append("Evaluations were computed in unlike precision, which rows name: seeds and Δ are within one.")
    alone = sum(row.difference is None for row in adapters)
    if alone and alone < len(adapters):
        sentences.append(f"{alone} of {len(adapters)} settings have no Δ: {NO_BASE}.")
    old = [row for row in rows if row.items and row.outdated]
    if old:
        versions = all_outdated(row.outdated for row in old)
        sentences.append(f"{OUTDATED_MARK} made by an older version ({versions}): not to be compared with newer figures.")
    if left_out := len(rows) - len(newest(rows)):
        sentences.append(f"Rows of older versions ({left_out}) are in no other row's mean, Δ or ranking, and not in the figure.")
    return sentences


def warning(rows: Sequence[Row]) -> str | None:
    """Return the line that keeps development figures from being read as results; None where all are of the test split."""
    validated = [row for row in rows if row.split == "validation"]
    if not validated:
        return None
    chosen = " Early stopping chose adapters on it." if any(one.stops_early for row in validated for one in row.outcomes) else ""
    return f"VALIDATION SPLIT: development figures, not test results.{chosen}"


def _written(done: Sequence[Row]) -> list[str]:
    """Return how many generated replies were cut or loop, by the evaluation with most."""
    parts = []
    for name, what in WRITTEN.items():
        counts = [one.counts for row in done for one in row.evaluated if one.counts.get(name)]
        if counts:
            most = max(counts, key=lambda one: one[name])
            parts.append(f"up to {most[name]:,} of {most['spoken_items']:,} {what}")
    return [f"Of an evaluation's generated replies {' and '.join(parts)}: ROUGE-L takes them as they are."] if parts else []


def _together(values: Iterable[str | None]) -> str:
    """Return `test`, or `24 or 48` where rows differ."""
    return " or ".join(str(value) for value in ordered_values(values))
