"""Every combination of swept values, composed once per combination of config groups.

One compose takes tens of milliseconds and Hydra's own sweeper does two a trial; values are set on what was composed.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict

from persona_exp.errors import UserError


@dataclass(frozen=True)
class Point:
    """One trial of a sweep: `values` set on what was composed for it and others, and the swept overrides that tell it from them."""

    composed: DictConfig
    values: tuple[Override, ...]
    overrides: dict[str, Any]

    @cached_property
    def config(self) -> DictConfig:
        """Its whole config. Raises what OmegaConf has against a value."""
        config = self.composed.copy()
        ConfigLoaderImpl._apply_overrides_to_config(list(self.values), config)
        return config


def grid(
    arguments: Sequence[str], *, config_name: str, hydra_overrides: Sequence[str], loader: ConfigLoader
) -> tuple[list[str], list[Point]]:
    """The swept keys and every combination of their values, the last key fastest.

    `arguments` are the command line's overrides in Hydra's grammar; `hydra_overrides` those of Hydra's own settings.
    """
    parser = OverridesParser.create(config_loader=loader)
    overrides = parser.parse_overrides(list(arguments))
    swept = [override for override in overrides if override.is_sweep_override()]
    # The fixed overrides come last, so that a command line's value wins over a swept group's.
    fixed = [*hydra_overrides, *(str(override.input_line) for override in overrides if not override.is_sweep_override())]
    for override in swept:
        if not override.is_discrete_sweep():
            raise UserError(f"{override.input_line} is a continuous range: list its values, as in {override.key_or_group}=1,2.")
    structural = {override.get_key_element() for override in swept if _changes_structure(override, loader)}
    keys = [override.get_key_element() for override in swept]
    lines = ([f"{key}={text}" for text in override.sweep_string_iterator()] for key, override in zip(keys, swept, strict=True))
    composed: dict[tuple[str, ...], DictConfig] = {}
    parse = cache(parser.parse_override)
    points = []
    for chosen in itertools.product(*lines):
        groups = tuple(line for key, line in zip(keys, chosen, strict=True) if key in structural)
        if groups not in composed:
            composed[groups] = _compose(config_name, [*groups, *fixed], loader)
        choices = [parse(line) for line in chosen]
        values = tuple(choice for key, choice in zip(keys, choices, strict=True) if key not in structural)
        named = zip(keys, choices, strict=True)
        points.append(Point(composed[groups], values, {key.lstrip("+~"): choice.value() for key, choice in named}))
    return [key.lstrip("+~") for key in keys], points


def _compose(config_name: str, overrides: list[str], loader: ConfigLoader) -> DictConfig:
    config = loader.load_configuration(config_name, overrides, run_mode=RunMode.RUN)
    with open_dict(config):
        del config["hydra"]
    return config


def _changes_structure(override: Override, loader: ConfigLoader) -> bool:
    """Whether it chooses a config group, or adds or removes a key: then what is composed differs, not a value only."""
    if override.is_add() or override.is_force_add() or override.is_delete():
        return True
    return bool(loader.get_group_options(override.key_or_group))
