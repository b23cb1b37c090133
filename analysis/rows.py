"""What the table and the figure show: the base rows, then one row a setting, seeds put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from analysis.results import Outcome, Results, setting_keys
from analysis.statistics import Estimate, bits_per_byte, perplexity, perplexity_difference
from analysis.values import number, ordered, shown
from persona_exp.errors import UserError
from persona_exp.files import canonical_json

NAMES = {"base": "base model", "base+system": "base + system prompt", "adapter": "adapter"}
SHORT_NAMES = {"base": "base", "base+system": "base + system", "adapter": "adapter"}


@dataclass(frozen=True)
class Row:
    """One line of the table. Figures are None, and `metrics` empty, where no trial of the setting was evaluated.

    `outcomes` are those of the setting's seeds, ascending; `overrides` the swept keys without `seed`. `by_seed` are the
    perplexities of the single seeds, `metrics` means over them; `tokens` and `items` are scored tokens and replies of one
    evaluation, `generated` the replies that the model wrote.
    """

    condition: str
    overrides: dict[str, Any]
    outcomes: list[Outcome]
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

    @property
    def evaluated(self) -> list[Outcome]:
        return [one for one in self.outcomes if one.evaluated]

    @property
    def problems(self) -> list[Outcome]:
        """The outcomes without figures."""
        return [one for one in self.outcomes if not one.evaluated]

    @property
    def seeds(self) -> list[int]:
        """The seeds that were evaluated."""
        return [one.seed for one in self.evaluated if one.seed is not None]

    @property
    def sample(self) -> Outcome:
        """An outcome that stands for all in what they share: an evaluated one where there is one."""
        return [*self.evaluated, *self.outcomes][0]

    @property
    def split(self) -> str | None:
        return self.sample.settings.get("split")


def build(results: Results) -> list[Row]:
    """Base rows, base rows with the system prompt, then settings: by number where a key has numbers, else as swept."""
    adapters = [one for one in results.outcomes if one.condition == "adapter"]
    bases = [one for one in results.outcomes if one.condition != "adapter"]
    keys = setting_keys(results.sweep)
    rows = []
    for condition in ("base", "base+system"):
        alike = [one for one in bases if one.condition == condition]
        rows += [_row([one], _base_overrides(one, adapters, keys) if len(alike) > 1 else {}, None) for one in alike]
    rows += [_row(group, group[0].overrides, _reference(group, bases)) for group in _settings(adapters, keys)]
    return rows


def one_text(rows: Sequence[Row]) -> bool:
    """Whether all rows measured the same text in the same way, so that figures per byte compare between them."""
    return len({row.sample.measured for row in rows if row.items}) <= 1


def one_model(rows: Sequence[Row]) -> bool:
    """Whether figures per token compare between all rows: one text and one tokeniser."""
    return len({row.sample.ground for row in rows if row.items}) <= 1


def metric_names(rows: Sequence[Row]) -> list[str]:
    """Every metric that some row has, in the order in which evaluations write them."""
    return list(dict.fromkeys(name for row in rows for name in row.metrics))


def row_json(row: Row) -> dict[str, Any]:
    """A row as plain JSON values."""

    def interval(estimate: Estimate | None) -> Mapping[str, float] | None:
        return None if estimate is None else vars(estimate)

    return {
        "condition": row.condition,
        "overrides": row.overrides,
        "label": ", ".join(f"{key}={shown(value)}" for key, value in row.overrides.items()) or row.name,
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


def _settings(adapters: Sequence[Outcome], keys: Sequence[str]) -> list[list[Outcome]]:
    """The outcomes of each setting, seeds ascending."""
    ranks = {key: [canonical_json(value) for value in ordered(one.overrides.get(key) for one in adapters)] for key in keys}

    def place(one: Outcome) -> list[float]:
        return [*(ranks[key].index(canonical_json(one.overrides.get(key))) for key in keys), number(one.seed) or 0.0]

    groups: dict[str, list[Outcome]] = {}
    for one in sorted(adapters, key=place):
        groups.setdefault(canonical_json(one.overrides), []).append(one)
    return list(groups.values())


def _base_overrides(base: Outcome, adapters: Sequence[Outcome], keys: Sequence[str]) -> dict[str, Any]:
    """What tells a base row from the others: swept values that all its adapters share, and how it was evaluated itself."""
    fitting = [one for one in adapters if _base_of(one) == _base_of(base)]
    first = fitting[0].overrides if fitting else {}
    shared = {key: value for key, value in first.items() if all(one.overrides.get(key) == value for one in fitting)}
    names = {key: key.removeprefix("evaluation.") for key in keys if key.startswith("evaluation.")}
    return shared | {key: base.settings[name] for key, name in names.items() if name in base.settings}


def _base_of(one: Outcome) -> tuple[str, str, str | None]:
    return one.base_model, one.quantisation, one.data_id


def _reference(group: Sequence[Outcome], bases: Sequence[Outcome]) -> Outcome | None:
    """The base model with the system prompt to compare a setting with: on the same ground, if possible at its quantisation."""
    first = next((one for one in group if one.evaluated), None)
    if first is None:
        return None
    fitting = [one for one in bases if one.condition == "base+system" and one.evaluated and one.ground == first.ground]
    return max(fitting, key=lambda one: one.quantisation == first.quantisation, default=None)


def _row(group: list[Outcome], overrides: dict[str, Any], reference: Outcome | None) -> Row:
    import numpy as np

    condition = group[0].condition
    done = [one for one in group if one.evaluated]
    if not done:
        return Row(condition, overrides, group)
    first = done[0]
    for other in [*done[1:], *([reference] if reference else [])]:
        if not first.replies.same_text(other.replies):
            raise UserError(
                f"Trials {first.trial_id} and {other.trial_id} were not scored on the same replies and cannot be compared; remove "
                "their evaluations and run the sweep's command again."
            )
    nats, tokens, sizes = np.array([one.replies.nats for one in done]), np.array(first.replies.tokens), np.array(first.replies.sizes)
    names = [name for name in first.metrics if all(name in one.metrics for one in done)]
    return Row(
        condition=condition,
        overrides=overrides,
        outcomes=group,
        perplexity=perplexity(nats, tokens),
        difference=perplexity_difference(nats, np.array(reference.replies.nats), tokens) if reference else None,
        bits_per_byte=bits_per_byte(nats, sizes),
        by_seed=[float(value) for value in np.exp(nats.sum(1) / tokens.sum())],
        metrics={name: sum(one.metrics[name] for one in done) / len(done) for name in names},
        tokens=int(tokens.sum()),
        items=len(tokens),
        generated=first.counts.get("spoken_items", 0),
        other_quantisation=reference is not None and reference.quantisation != first.quantisation,
    )
