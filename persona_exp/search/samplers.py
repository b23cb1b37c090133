"""Samplers: Optuna's, made anew for each ask from the study's seed and the ask's number, so that who asks does not matter."""

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import hydra
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, QMCSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from persona_exp.errors import UserError
from persona_exp.search.search_space import Setting

GRID = "grid"


def sampler_seed(study_seed: int, number: int, offset: int = 0) -> int:
    """Return the seed (32 bits) of the sampler that makes ask `number` of a study with `offset` warm starts.

    Those were mostly asked with the same study seed: without the offset the first asks, at random, would be the same trials again.
    """
    return int.from_bytes(hashlib.sha256(f"{study_seed}:{number}{f':{offset}' if offset else ''}".encode()).digest()[:4])


def make_sampler(config: Mapping[str, Any], space: Sequence[Setting], *, study_seed: int, number: int, offset: int) -> BaseSampler:
    """Return the sampler of hydra.sweeper.sampler for ask `number`, whose trial in the study is `offset` further.

    Raise UserError where Optuna does not know a setting of it.
    """
    target, seed = str(config["_target_"]), sampler_seed(study_seed, number, offset)
    settings = {key: value for key, value in config.items() if key not in ("_target_", "seed")}
    if target == GRID:
        return GridSampler(space, offset)
    if target.rsplit(".", 1)[-1] == QMCSampler.__name__:
        sequence = sampler_seed(study_seed, 0, offset) if offset else study_seed
        # Its sequence is one, counted on in the study's attributes; only what it cannot place is drawn by number.
        return _instantiate(target, {**settings, "seed": sequence, "warn_asynchronous_seeding": False}, RandomSampler(seed=seed))
    return _instantiate(target, {**settings, "seed": seed}, None)


def _instantiate(target: str, settings: dict[str, Any], independent: BaseSampler | None) -> BaseSampler:
    given = {**settings, **({"independent_sampler": independent} if independent else {})}
    try:
        made = hydra.utils.get_class(target)(**{key: _made(value) for key, value in given.items()})
    except (TypeError, ValueError, ImportError) as error:
        raise UserError(f"hydra.sweeper.sampler cannot be made of {target}: {error}.") from error
    if not isinstance(made, BaseSampler):
        raise UserError(f"hydra.sweeper.sampler._target_={target} is no sampler of Optuna's.")
    return made


def _made(value: Any) -> Any:
    """Return a setting's value, a sampler within a sampler made too."""
    return hydra.utils.instantiate(value) if isinstance(value, Mapping) and "_target_" in value else value


class GridSampler(BaseSampler):
    """Every combination of values that can be listed, by number, the last setting fastest; Optuna's own needs a loop of Optuna's."""

    def __init__(self, space: Sequence[Setting], offset: int = 0) -> None:
        self._points = grid_points(space)
        self._offset = offset

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return nothing: each value stands by itself."""
        return {}

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def sample_independent(self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution) -> Any:
        """Return the value of the trial's combination."""
        return self._points[(trial.number - self._offset) % len(self._points)][param_name]


def grid_points(space: Sequence[Setting]) -> list[dict[str, Any]]:
    """Return every combination, by name. Raise UserError where a setting's values cannot be listed."""
    listed = [one.points() for one in space]
    for one, values in zip(space, listed, strict=True):
        if values is None:
            raise UserError(f"sampler=grid lists all values, and {one.name} is a continuous range: list its values.")
    return [dict(zip([one.name for one in space], point, strict=True)) for point in itertools.product(*filter(None, listed))]
