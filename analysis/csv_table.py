"""The rows as CSV, for a program."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from analysis.bootstrap_intervals import Estimate
from analysis.seed_aggregation import Row
from analysis.swept_values import value_text
from analysis.table_columns import metric_names


def csv_text(rows: Sequence[Row], keys: Sequence[str]) -> str:
    """Return one line a row with all figures unrounded (8 digits); empty cells where there is no figure."""
    metrics = [name for name in metric_names(rows) if name not in ("perplexity", "bits_per_byte")]
    lines = [_line(row, keys, metrics) for row in rows]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(lines[0])
    writer.writerows(line.values() for line in lines)
    return buffer.getvalue()


def _line(row: Row, keys: Sequence[str], metrics: Sequence[str]) -> dict[str, Any]:
    adapter = row.condition == "adapter"
    return {
        "condition": row.condition,
        "name": row.name,
        **{key: value_text(row.overrides[key]) if key in row.overrides else "" for key in keys},
        "n_seeds": len(row.seeds) if adapter else "",
        "planned_seeds": len(row.outcomes) if adapter else "",
        "seeds": " ".join(map(str, row.seeds)),
        "status": _joined(row, "status"),
        "cause": _joined(row, "cause"),
        "message": _joined(row, "message"),
        "split": row.split or "",
        "data_id": row.sample.data_id or "",
        **{key: value_text(row.sample.basis.precision.get(key, "")) for key in ("quantisation", "dtype")},
        "evaluation_precision": row.sample.precision or "",
        "training_version": row.sample.versions[0] or "",
        "evaluation_version": row.sample.versions[1] or "",
        "older": row.outdated,
        **_estimate("perplexity", row.perplexity),
        **_estimate("perplexity_difference", row.difference),
        **_estimate("bits_per_byte", row.bits_per_byte),
        "separable": "" if row.difference is None else str(not row.difference.includes_zero).lower(),
        "perplexity_seed_min": _figure(min(row.by_seed, default=None)),
        "perplexity_seed_max": _figure(max(row.by_seed, default=None)),
        **{name: _figure(row.metrics.get(name)) for name in metrics},
        "tokens": row.tokens or "",
        "items": row.items or "",
        "generated": row.generated if row.items else "",
        "trial_ids": " ".join(one.trial_id for one in row.outcomes),
    }


def _joined(row: Row, name: str) -> str:
    found = (" ".join(str(text).split()) for one in row.outcomes if (text := getattr(one, name)))
    return "; ".join(dict.fromkeys(found))


def _estimate(name: str, estimate: Estimate | None) -> dict[str, str]:
    value, low, high = (None, None, None) if estimate is None else (estimate.value, estimate.low, estimate.high)
    return {name: _figure(value), f"{name}_low": _figure(low), f"{name}_high": _figure(high)}


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.8g}"
