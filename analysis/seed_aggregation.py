"""One row a setting: its figures over its seeds, as means with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from analysis.bootstrap_intervals import Estimate, bits_per_byte, perplexity, perplexity_difference
from analysis.sweep_results import Outcome
from persona_exp.errors import UserError

CONDITION_NAMES = {"base": "base model", "base+system": "base + system prompt", "adapter": "adapter"}
# Stands behind the name of what an older version made.
OUTDATED_MARK = "‡"
SHORT_NAMES = {"base": "base", "base+system": "base + system", "adapter": "adapter"}


@dataclass(frozen=True)
class Row:
    """One line of the table. Figures are None, and `metrics` empty, where no trial of the setting was evaluated.

    `outcomes` are those of the setting's seeds, ascending; `overrides` the swept keys without `seed`. `by_seed` are the
    perplexities of the single seeds, `metrics` means over them; `tokens` and `items` are scored tokens and replies of one
    evaluation, `generated` the replies that the model wrote. `mark` distinguishes a base row from the others, a setting from the same
    one made by other versions, and the precision of the evaluation where rows differ in it.
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
    mark: str = ""

    @property
    def name(self) -> str:
        return self._marked(CONDITION_NAMES)

    @property
    def short_name(self) -> str:
        return self._marked(SHORT_NAMES)

    def _marked(self, names: Mapping[str, str]) -> str:
        return names[self.condition] + (f" ({self.mark})" if self.mark else "") + (OUTDATED_MARK if self.outdated else "")

    @property
    def outdated(self) -> str:
        """The older versions that made it; empty where none did."""
        return self.sample.outdated

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


def aggregate_seeds(group: list[Outcome], overrides: dict[str, Any], reference: Outcome | None, mark: str) -> Row:
    """Return the row of a setting's outcomes, one a seed, with means over seeds; `reference` is the base row that it is compared with.

    Raise UserError where they were not scored on the same replies.
    """
    import numpy as np

    condition = group[0].condition
    done = [one for one in group if one.evaluated]
    if not done:
        return Row(condition, overrides, group, mark=mark)
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
        mark=mark,
    )
