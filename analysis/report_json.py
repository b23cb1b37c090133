"""The report as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.base_or_instruct import family_verdicts
from analysis.bootstrap_intervals import Estimate
from analysis.seed_aggregation import Row
from analysis.sweep_results import Results
from analysis.swept_values import value_text
from analysis.table_caption import caption, warning


def report_json(results: Results, rows: Sequence[Row], paths: Sequence[Path]) -> dict[str, Any]:
    """Return all that the report holds, as plain JSON values."""
    return {
        "sweep": results.sweep.name,
        "note": results.sweep.note or None,
        "command": results.sweep.command,
        "swept": results.sweep.swept,
        "arms": list(results.sweep.arms),
        "tuned": list(results.sweep.tuned),
        "settings": results.settings,
        "warning": warning(rows),
        "caption": caption(rows, results.sweep.name, results.tuning),
        "rows": [row_json(row) for row in rows],
        "families": [
            dict(zip(("family", "base", "instruct", "difference", "winner"), one.cells, strict=True)) for one in family_verdicts(rows)
        ],
        "notes": results.notes,
        "paths": {path.name: str(path) for path in paths},
    }


def row_json(row: Row) -> dict[str, Any]:
    """Return a row as plain JSON values."""

    def interval(estimate: Estimate | None) -> Mapping[str, float] | None:
        return None if estimate is None else vars(estimate)

    return {
        "condition": row.condition,
        "overrides": row.overrides,
        "name": row.name,
        "label": _label(row),
        "precision": row.sample.basis.precision,
        "evaluation_precision": row.sample.precision,
        "training_version": row.sample.basis.training_version,
        "evaluation_version": row.sample.settings.get("EVALUATION_VERSION"),
        "older": row.outdated or None,
        "trial_ids": [one.trial_id for one in row.outcomes],
        "seeds": row.seeds,
        "planned": len(row.outcomes),
        "split": row.split,
        "data_id": row.sample.data_id,
        "perplexity": interval(row.perplexity),
        "difference": interval(row.difference),
        "separable": None if row.difference is None else not row.difference.includes_zero,
        "bits_per_byte": interval(row.bits_per_byte),
        "perplexity_by_seed": row.by_seed,
        "metrics": row.metrics,
        "tokens": row.tokens,
        "items": row.items,
        "generated": row.generated,
        "problems": [
            {
                "trial_id": one.trial_id,
                "seed": one.seed,
                "status": one.status,
                "cause": one.cause,
                "message": one.message,
                "traceback": one.traceback,
            }
            for one in row.problems
        ],
    }


def _label(row: Row) -> str:
    """Return a row's name in a list: of a setting what it is set to."""
    swept = ", ".join(f"{key}={value_text(value)}" for key, value in row.overrides.items())
    if row.condition != "adapter" or not swept:
        return row.name
    return f"{swept} ({row.mark})" if row.mark else swept
