"""hydra.sweeper of hydra/sweeper=optuna: the settings of hydra-optuna-sweeper, checked."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from persona_exp.errors import UserError


@dataclass(frozen=True)
class SweeperOptions:
    """The settings, by the names of hydra-optuna-sweeper; `pruner` and `constraints` are ours. `n_jobs` is the launcher's."""

    sampler: Mapping[str, Any]
    pruner: Mapping[str, Any]
    direction: str | Sequence[str]
    n_trials: int
    n_jobs: int | None
    max_failure_rate: float
    constraints: Sequence[str]
    storage: str | None
    study_name: str | None
    params: Mapping[str, Any]
    search_space: Mapping[str, Any]
    custom_search_space: str | None


def parse_sweeper_options(given: Mapping[str, Any]) -> SweeperOptions:
    """Return the options in what Hydra composed. Raise UserError for one that is not known, or out of range."""
    from omegaconf import OmegaConf

    plain = OmegaConf.to_container(OmegaConf.create(dict(given)), resolve=True)
    assert isinstance(plain, dict)
    known = [one.name for one in fields(SweeperOptions)]
    if unknown := sorted(set(map(str, plain)) - set(known)):
        raise UserError(f"There is no setting hydra.sweeper.{unknown[0]}: hydra.sweeper has {', '.join(known)}.")
    if isinstance(plain.get("constraints"), str):
        plain["constraints"] = [plain["constraints"]]
    options = SweeperOptions(**{name: plain.get(name) for name in known})  # type: ignore[arg-type]
    if not isinstance(options.n_trials, int) or options.n_trials < 1:
        raise UserError(f"hydra.sweeper.n_trials={options.n_trials} must be a whole number above 0.")
    if not isinstance(options.max_failure_rate, int | float) or not 0 <= options.max_failure_rate <= 1:
        raise UserError(f"hydra.sweeper.max_failure_rate={options.max_failure_rate} must be a fraction, from 0 to 1.")
    if options.n_jobs is not None and (not isinstance(options.n_jobs, int) or options.n_jobs < 1):
        raise UserError(f"hydra.sweeper.n_jobs={options.n_jobs} must be a whole number above 0.")
    seed = options.sampler.get("seed")
    if seed is not None and not isinstance(seed, int):
        raise UserError(f"hydra.sweeper.sampler.seed={seed} must be a whole number.")
    if options.storage and re.search(r"://[^/@]*:[^/@]*@", options.storage):
        raise UserError("hydra.sweeper.storage holds a password: leave it to the database's own variables or files, such as PGPASSWORD.")
    if missing := [key for key, value in options.pruner.items() if value is None and key in ("min_resource", "max_resource")]:
        raise UserError(f"hydra.sweeper.pruner.{missing[0]} has no value: give a number of optimiser steps.")
    return options
