"""Importance of settings by PED-ANOVA (Watanabe et al. 2023, arXiv:2304.10255), with bands over trials and a control.

Optuna's evaluator asks how unlike the values of the best trials are to those of all. A conditional setting, which some trials do not
have, is compared among the trials that have it, weighed by how many of the best they are (arXiv:2601.20800).
"""

import copy
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

# Fewer finished trials than these leave too few of the best to say anything.
LEAST_TRIALS = 20
# The best are this part of all, but so many at least.
BEST_PART, LEAST_BEST = 0.1, 5
# Resamples, and fewer of them where trials are many and each takes longer.
RESAMPLES, LEAST_RESAMPLES, RESAMPLED_TRIALS, SEED = 200, 40, 40_000, 0
BAND = (2.5, 97.5)
CHANCE_PERCENTILE = 95


@dataclass(frozen=True)
class SettingImportance:
    """`share` of all importance, from 0 to 1, with the 95 % band `low` to `high` over resampled trials.

    `beyond_chance` is whether the importance is above the 95th percentile of those with the objectives shuffled among the trials.
    """

    name: str
    share: float
    low: float
    high: float
    beyond_chance: bool


@dataclass(frozen=True)
class Importances:
    """Of each setting, the most important first; of reaching the best `part` of `trials` finished trials, over `resamples` resamples."""

    settings: tuple[SettingImportance, ...]
    trials: int
    part: float
    resamples: int


def setting_importance(study: Study) -> Importances | str:
    """Return how important each setting is, or why that cannot be said. With several objectives: for reaching the Pareto front.

    Trials are drawn with replacement, with the seed 0.
    """
    import numpy as np

    trials = [one for one in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)) if all(map(math.isfinite, one.values))]
    if len(trials) < LEAST_TRIALS:
        return f"Importance needs {LEAST_TRIALS} finished trials, and there are {len(trials)}."
    part = max(BEST_PART, LEAST_BEST / len(trials))
    resamples = max(LEAST_RESAMPLES, min(RESAMPLES, RESAMPLED_TRIALS // len(trials)))
    directions = study.directions
    found = _importance(trials, directions, part)
    if not sum(found.values()):
        return "Importance cannot be said: the best trials have the settings that all have."
    names = sorted(found, key=lambda name: -found[name])
    generator = np.random.default_rng(SEED)
    shares, chance = [], []
    for _ in range(resamples):
        drawn = [_numbered(trials[place], number) for number, place in enumerate(generator.integers(0, len(trials), len(trials)))]
        resampled = _importance(drawn, directions, part)
        total = sum(resampled.values())
        shares.append([resampled.get(name, 0.0) / total if total else 0.0 for name in names])
        order = generator.permutation(len(trials))
        shuffled = [_numbered(one, number, trials[place].values) for number, (one, place) in enumerate(zip(trials, order, strict=True))]
        by_chance = _importance(shuffled, directions, part)
        chance.append([by_chance.get(name, 0.0) for name in names])
    low, high = np.percentile(np.array(shares), BAND, axis=0)
    bar = np.percentile(np.array(chance), CHANCE_PERCENTILE, axis=0)
    total = sum(found.values())
    settings = tuple(
        SettingImportance(name, found[name] / total, float(low[place]), float(high[place]), bool(found[name] > bar[place]))
        for place, name in enumerate(names)
    )
    return Importances(settings, len(trials), part, resamples)


@dataclass(frozen=True)
class _Trials:
    """As much of a study as the evaluator reads: without a storage, into which each resample would be copied."""

    trials: list[FrozenTrial]
    directions: list[StudyDirection]

    def get_trials(self, deepcopy: bool = True, states: Any = None) -> list[FrozenTrial]:
        """Return all of them: they are finished."""
        return self.trials

    def _is_multi_objective(self) -> bool:
        return len(self.directions) > 1


def _importance(trials: list[FrozenTrial], directions: Sequence[StudyDirection], part: float) -> dict[str, float]:
    from optuna.importance import PedAnovaImportanceEvaluator

    evaluator = PedAnovaImportanceEvaluator(target_quantile=part)
    with warnings.catch_warnings():
        # Of regimes with few trials, in which a resample may leave a setting: the bands say how sure the shares are.
        warnings.simplefilter("ignore")
        return dict(evaluator.evaluate(_Trials(trials, list(directions))))  # type: ignore[arg-type]


def _numbered(trial: FrozenTrial, number: int, values: Sequence[float] | None = None) -> FrozenTrial:
    """Return a copy with an id of its own, as the evaluator tells trials apart by it, and with `values` where they are given."""
    made = copy.copy(trial)
    made._trial_id = number
    if values is not None:
        made._values = list(values)
    return made
