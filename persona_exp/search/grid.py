"""Every combination of swept values, composed once per combination of config groups.

One compose takes tens of milliseconds and Hydra's own sweeper does two a trial; values are set on what was composed.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict

from persona_exp.errors import UserError
from persona_exp.search.hydra_internals import apply_overrides
from persona_exp.search.sweep_parameters import as_override, setting, settings_of


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
        apply_overrides(self.values, config)
        return config


def grid(
    arguments: Sequence[str],
    *,
    config_name: str,
    hydra_overrides: Sequence[str],
    loader: ConfigLoader,
    pairs: Sequence[Mapping[str, Any]] = (),
) -> tuple[list[str], list[Point]]:
    """Return the swept keys and every combination of their values, the last key fastest.

    `arguments` are overrides in Hydra's grammar; `hydra_overrides` those of Hydra's own settings. `pairs` are rows of settings that go
    together, crossed with the swept ones; where a value is a sweep text, the row stands for all that it gives. Settings that `arguments`
    has are left to them. Raise UserError for a continuous range.
    """
    parser = OverridesParser.create(config_loader=loader)
    overrides = parser.parse_overrides(list(arguments))
    swept = [override for override in overrides if override.is_sweep_override()]
    # The fixed overrides come last, so that a command line's value wins over a swept group's.
    fixed = [*hydra_overrides, *(str(override.input_line) for override in overrides if not override.is_sweep_override())]
    rows = _paired(pairs, settings_of(arguments), parser)
    factors: list[Sequence[tuple[str, ...]]] = [*([rows] if rows else []), *([(line,) for line in _lines(override)] for override in swept)]

    @cache
    def choice(line: str) -> tuple[Override, bool]:
        override = parser.parse_override(line)
        return override, changes_structure(override.get_key_element(), loader)

    composed: dict[tuple[str, ...], DictConfig] = {}
    points = []
    for combination in itertools.product(*factors):
        choices = [choice(line) for line in itertools.chain.from_iterable(combination)]
        groups = tuple(str(override.input_line) for override, structural in choices if structural)
        if groups not in composed:
            composed[groups] = compose_group_choices(config_name, [*groups, *fixed], loader)
        values = tuple(override for override, structural in choices if not structural)
        points.append(Point(composed[groups], values, {setting(one.get_key_element()): one.value() for one, _ in choices}))
    lines = itertools.chain.from_iterable(itertools.chain.from_iterable(factor) for factor in factors)
    return list(dict.fromkeys(setting(line.partition("=")[0]) for line in lines)), points


def _paired(pairs: Sequence[Mapping[str, Any]], given: set[str], parser: OverridesParser) -> list[tuple[str, ...]]:
    """Return the rows of `pairs`, each as overrides without those of settings `given` elsewhere; rows that are then alike are one."""
    rows: dict[tuple[str, ...], None] = {}
    for pair in pairs:
        lines = [as_override(name, value, "pairs") for name, value in pair.items() if setting(name) not in given]
        if lines:
            rows.update(dict.fromkeys(itertools.product(*(_lines(override) for override in parser.parse_overrides(lines)))))
    return list(rows)


def _lines(override: Override) -> list[str]:
    """Return each value of an override, with its key. Raise UserError for a continuous range."""
    key = override.get_key_element()
    if not override.is_sweep_override():
        return [str(override.input_line)]
    if not override.is_discrete_sweep():
        raise UserError(f"{override.input_line} is a continuous range: list its values, as in {override.key_or_group}=1,2.")
    return [f"{key}={text}" for text in override.sweep_string_iterator()]


def compose_group_choices(config_name: str, overrides: Sequence[str], loader: ConfigLoader) -> DictConfig:
    """Return what Hydra composes of these overrides, without Hydra's own settings."""
    config = loader.load_configuration(config_name, list(overrides), run_mode=RunMode.RUN)
    with open_dict(config):
        del config["hydra"]
    return config


def changes_structure(key: str, loader: ConfigLoader) -> bool:
    """Return whether an override of `key`, with its + or ~, chooses a config group, or adds or removes a key: then what is composed
    differs, not a value only."""
    return key.startswith(("+", "~")) or bool(loader.get_group_options(key.partition("@")[0]))
