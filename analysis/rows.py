"""What the table and the figure show: the base rows, then one row a setting, seeds put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from analysis.frame import Results, number, setting_keys, shown
from analysis.statistics import Estimate, bits_per_byte, perplexity, perplexity_difference
from persona_exp.errors import UserError
from persona_exp.files import canonical_json

if TYPE_CHECKING:
    import pandas as pd

NAMES = {"base": "base model", "base+system": "base + system prompt", "adapter": "adapter"}

# Columns of the frame that are no metric.
PLACE = (
    "trial_id", "role", "condition", "status", "cause", "message", "seed", "base_model", "quantisation", "text", "split",
    "data_id", "eval_id", "generated",
)  # fmt: skip


@dataclass(frozen=True)
class Problem:
    """A trial without figures, and why."""

    trial_id: str
    condition: str
    overrides: dict[str, Any]
    status: str
    cause: str | None
    message: str | None

    def reason(self) -> str:
        """`failed (out of memory)`, for a table cell."""
        return f"{self.status} ({self.cause})" if self.cause else self.status


@dataclass(frozen=True)
class Row:
    """One line of the table. Figures are None, and `metrics` empty, where no trial of the setting was evaluated.

    `overrides` are the swept keys without `seed`. `by_seed` are the perplexities of the single seeds, `metrics` means over them;
    `tokens` and `items` are scored tokens and replies of one evaluation, `generated` the replies that the model wrote.
    """

    condition: str
    overrides: dict[str, Any]
    trial_ids: list[str]
    seeds: list[Any]
    planned: int
    problems: list[Problem]
    split: str | None = None
    data_id: str | None = None
    base_model: str = ""
    quantisation: str = "none"
    perplexity: Estimate | None = None
    difference: Estimate | None = None
    bits_per_byte: Estimate | None = None
    by_seed: list[float] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    tokens: int = 0
    items: int = 0
    generated: int = 0
    # Whether the row that `difference` is taken from ran on a base model of other precision.
    other_quantisation: bool = False

    @property
    def name(self) -> str:
        return NAMES[self.condition]


def build(results: Results) -> list[Row]:
    """Base rows, base rows with the system prompt, then settings: by number where a key has numbers, else as swept."""
    keys = setting_keys(results.sweep)
    frame = results.frame
    base = frame[frame["role"] == "base"]
    rows: list[Row] = []
    for condition in ("base", "base+system"):
        part = base[base["condition"] == condition]
        rows += [_row(results, [index], keys, None) for index in _ordered(part, keys)]
    references = [index for index in base.index if base.at[index, "condition"] == "base+system"]
    adapters = frame[frame["role"] == "adapter"]
    for group in _settings(adapters, keys):
        rows.append(_row(results, group, keys, _reference(results, group, references)))
    return rows


def ordered_values(values: Sequence[Any]) -> list[Any]:
    """Distinct values in the order to show them: ascending where all are numbers, else as they come."""
    distinct = list({canonical_json(value): value for value in values}.values())
    numeric = all(number(value) is not None for value in distinct)
    return sorted(distinct, key=lambda value: number(value) or 0.0) if numeric else distinct


def metric_names(rows: Sequence[Row]) -> list[str]:
    """Every metric that some row has, in the order in which evaluations write them."""
    return list(dict.fromkeys(name for row in rows for name in row.metrics))


def _ordered(frame: pd.DataFrame, keys: Sequence[str]) -> list[int]:
    ranks = {key: [canonical_json(value) for value in ordered_values(_values(frame, key))] for key in keys}
    return sorted(frame.index, key=lambda index: [ranks[key].index(canonical_json(_value(frame, index, key))) for key in keys])


def _settings(frame: pd.DataFrame, keys: Sequence[str]) -> list[list[int]]:
    """Row numbers of each setting, its seeds ascending."""
    groups: dict[str, list[int]] = {}
    for index in _ordered(frame, keys):
        groups.setdefault(canonical_json([_value(frame, index, key) for key in keys]), []).append(index)
    return [sorted(group, key=lambda index: (number(frame.at[index, "seed"]) or 0.0, index)) for group in groups.values()]


def _values(frame: pd.DataFrame, key: str) -> list[Any]:
    return [_value(frame, index, key) for index in frame.index]


def _value(frame: pd.DataFrame, index: int, key: str) -> Any:
    """A cell as plain Python: pandas turns a column of whole numbers with a gap into floats."""
    value: Any = frame.at[index, key]
    if isinstance(value, list | dict):
        return value
    found = value.item() if hasattr(value, "item") else value
    if found is None or found != found:
        return None
    return int(found) if isinstance(found, float) and found.is_integer() else found


def _row(results: Results, group: Sequence[int], keys: Sequence[str], reference: int | None) -> Row:
    import numpy as np

    frame, items = results.frame, results.items
    first = group[0]
    done = [index for index in group if index in items]
    problems = [_problem(frame, index, keys) for index in group if index not in items]
    overrides = _overrides(frame, first, keys)
    condition = str(frame.at[first, "condition"])
    trial_ids = [str(frame.at[index, "trial_id"]) for index in group]
    seeds = [_value(frame, index, "seed") for index in done if _value(frame, index, "seed") is not None]
    if not done:
        return Row(condition, overrides, trial_ids, seeds, len(group), problems)
    _refuse_other_items(results, [*done, *([reference] if reference is not None else [])])
    nats = np.vstack([items[index]["nats"].to_numpy(float) for index in done])
    tokens = items[done[0]]["tokens"].to_numpy(float)
    difference = None
    if reference is not None and condition == "adapter":
        difference = perplexity_difference(nats, items[reference]["nats"].to_numpy(float), tokens)
    return Row(
        condition=condition,
        overrides=overrides,
        trial_ids=trial_ids,
        seeds=seeds,
        planned=len(group),
        problems=problems,
        split=str(frame.at[done[0], "split"]),
        data_id=_value(frame, done[0], "data_id"),
        base_model=str(frame.at[done[0], "base_model"]),
        quantisation=str(frame.at[done[0], "quantisation"]),
        perplexity=perplexity(nats, tokens),
        difference=difference,
        bits_per_byte=bits_per_byte(nats, items[done[0]]["bytes"].to_numpy(float)),
        by_seed=[float(value) for value in np.exp(nats.sum(1) / tokens.sum())],
        metrics=_metrics(frame, done, keys),
        tokens=int(tokens.sum()),
        items=len(tokens),
        generated=int(_value(frame, done[0], "generated")),
        other_quantisation=reference is not None and not _alike(frame, reference, done[0], ("quantisation",)),
    )


def _overrides(frame: pd.DataFrame, index: int, keys: Sequence[str]) -> dict[str, Any]:
    """The swept keys of a row. A base row has none of its own: where there are several, what its adapters share."""
    own = {key: _value(frame, index, key) for key in keys if _value(frame, index, key) is not None}
    bases = frame[(frame["role"] == "base") & (frame["condition"] == frame.at[index, "condition"])]
    if frame.at[index, "role"] != "base" or own or len(bases) < 2:
        return own
    adapters = [
        one
        for one in frame.index[frame["role"] == "adapter"]
        if _alike(frame, one, index, ("base_model", "text", "quantisation"))
    ]
    shared = {key: {canonical_json(_value(frame, one, key)) for one in adapters} for key in keys}
    return {key: value for key in keys if len(shared[key]) == 1 and (value := _value(frame, adapters[0], key)) is not None}


def _metrics(frame: pd.DataFrame, done: Sequence[int], keys: Sequence[str]) -> dict[str, float]:
    names = [name for name in frame.columns if name not in PLACE and name not in keys]
    means = {name: float(frame.loc[list(done), name].astype(float).mean(skipna=False)) for name in names}
    return {name: mean for name, mean in means.items() if mean == mean}


def _problem(frame: pd.DataFrame, index: int, keys: Sequence[str]) -> Problem:
    overrides = {key: _value(frame, index, key) for key in [*keys, "seed"] if _value(frame, index, key) is not None}
    text = {name: _value(frame, index, name) for name in ("cause", "message")}
    return Problem(
        trial_id=str(frame.at[index, "trial_id"]),
        condition=str(frame.at[index, "condition"]),
        overrides=overrides,
        status=str(frame.at[index, "status"]),
        cause=text["cause"] and str(text["cause"]),
        message=text["message"] and str(text["message"]),
    )


def _reference(results: Results, group: Sequence[int], references: Sequence[int]) -> int | None:
    """The base+system row to compare a setting with: of those on its base model and data, the one at its quantisation."""
    frame = results.frame
    index = next((one for one in group if one in results.items), None)
    if index is None:
        return None
    fitting = [one for one in references if one in results.items and _alike(frame, one, index, ("base_model", "data_id"))]
    return max(fitting, key=lambda one: _alike(frame, one, index, ("quantisation",))) if fitting else None


def _alike(frame: pd.DataFrame, one: int, other: int, names: Sequence[str]) -> bool:
    return all(bool(_value(frame, one, name) == _value(frame, other, name)) for name in names)


def _refuse_other_items(results: Results, group: Sequence[int]) -> None:
    columns = ["example", "tokens", "bytes"]
    first = results.items[group[0]]
    for index in group[1:]:
        if not first[columns].equals(results.items[index][columns]):
            one, other = (str(results.frame.at[place, "trial_id"]) for place in (group[0], index))
            raise UserError(
                f"Trials {one} and {other} were not scored on the same replies and cannot be compared; remove their evaluations "
                "and run the sweep's command again."
            )


def as_json(row: Row) -> dict[str, Any]:
    """A row as plain JSON values."""

    def interval(estimate: Estimate | None) -> Mapping[str, float] | None:
        return None if estimate is None else {"value": estimate.value, "low": estimate.low, "high": estimate.high}

    return {
        "condition": row.condition,
        "overrides": row.overrides,
        "label": ", ".join(f"{key}={shown(value)}" for key, value in row.overrides.items()) or row.name,
        "trial_ids": row.trial_ids,
        "seeds": row.seeds,
        "planned": row.planned,
        "split": row.split,
        "data_id": row.data_id,
        "perplexity": interval(row.perplexity),
        "difference": interval(row.difference),
        "separable": None if row.difference is None else not row.difference.includes_zero,
        "bits_per_byte": interval(row.bits_per_byte),
        "perplexity_by_seed": row.by_seed,
        "metrics": row.metrics,
        "tokens": row.tokens,
        "items": row.items,
        "generated": row.generated,
        "problems": [vars(problem) for problem in row.problems],
    }
