"""The checked configs of a sweep's points, without checking again what its points share.

Checking a whole config takes tens of milliseconds. Where a swept value touches one group that nothing else refers to, that group alone
is made anew, once for each of its values. Wherever that is not certain, and for the words of every error, the whole config is checked.
"""

import re
from collections.abc import Sequence
from dataclasses import is_dataclass, replace
from typing import Any

from hydra.core.override_parser.types import Override, QuotedString
from omegaconf import DictConfig, IntegerNode, OmegaConf, StringNode
from omegaconf.errors import OmegaConfBaseException

from persona_exp.config import compose
from persona_exp.config.schema import Config
from persona_exp.errors import UserError
from persona_exp.search.grid import Point
from persona_exp.search.hydra_internals import node_value, unresolved_node

SCALARS = {"seed": IntegerNode, "runs": StringNode}
# What these are decides on settings of other groups.
WHOLE = ("method", "model", "engine", "others")


def resolve_points(points: Sequence[Point]) -> list[Config]:
    """Return the config of each point, as `compose_trial` makes it. Raise UserError where one is refused."""
    bases: dict[int, SharedConfig] = {}
    return [bases.setdefault(id(point.composed), SharedConfig(point.composed)).with_values(point) for point in points]


class SharedConfig:
    """What was composed for several points: checked once, when the first of them needs it."""

    def __init__(self, composed: DictConfig) -> None:
        self._composed = composed
        self._config: Config | None = None
        self._referred: list[str] = []
        self._groups: dict[tuple[str, ...], Any] = {}

    def with_values(self, point: Point) -> Config:
        """Return the config of a point of it, as `compose_trial` makes it. Raise UserError where it is refused."""
        try:
            return self._quickly(point) or compose.compose_trial(point.config)
        except (OmegaConfBaseException, UserError):
            # Refused in the words of one trial alone.
            return compose.compose_trial(point.config)

    def _quickly(self, point: Point) -> Config | None:
        if self._config is None:
            self._config = compose.compose_trial(self._composed)
            # Of a reference's text each word that looks like a path: `${model.lr}`, `${mul:${lora.r},2}`.
            text = str(OmegaConf.to_container(self._composed, resolve=False))
            self._referred = [path for inner in re.findall(r"\$\{[^']*", text) for path in re.findall(r"[A-Za-z_][\w.]*", inner)]
        by_group: dict[str, list[Override]] = {}
        for value in point.values:
            if not self._plain(value):
                return None
            by_group.setdefault(value.get_key_element().split(".")[0], []).append(value)
        return replace(self._config, **{group: self._group(group, values) for group, values in by_group.items()})

    def _plain(self, override: Override) -> bool:
        """Return whether it sets a value that is there already, that nothing refers to and that refers to nothing."""
        key = override.get_key_element()
        value = override.value()
        text = value.text if isinstance(value, QuotedString) else str(value)
        parts = key.split(".")
        if parts[0] in WHOLE or isinstance(value, dict) or "${" in text or not all(map(str.isidentifier, parts)):
            return False
        if any(key == path or key.startswith(f"{path}.") or path.startswith(f"{key}.") for path in self._referred):
            return False
        node: Any = self._composed
        for part in parts:
            node = unresolved_node(node, part) if isinstance(node, DictConfig) else None
        return node is not None and (parts[0] in SCALARS) == (len(parts) == 1)

    def _group(self, group: str, values: Sequence[Override]) -> Any:
        known = tuple(str(value.input_line) for value in values)
        if known not in self._groups:
            before = getattr(self._config, group)
            if is_dataclass(before):
                typed = OmegaConf.structured(before)
                for value in values:
                    OmegaConf.update(typed, value.get_key_element().partition(".")[2], value.value(), merge=True)
                self._groups[known] = OmegaConf.to_object(typed)
            else:
                self._groups[known] = node_value(SCALARS[group](values[-1].value(), is_optional=False))
        return self._groups[known]
