"""All of Hydra's and OmegaConf's private API that is used: an upgrade of either may break what stands here and nothing else.

Below search, config does without it; tests/search/test_hydra_internals.py says of each piece what it is used for.
"""

from collections.abc import Sequence
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig
from omegaconf.nodes import ValueNode


def apply_overrides(overrides: Sequence[Override], config: DictConfig) -> None:
    """Set parsed overrides on a composed config, as Hydra does while it composes. Raise what OmegaConf has against a value."""
    ConfigLoaderImpl._apply_overrides_to_config(list(overrides), config)


def unresolved_node(config: DictConfig, key: str) -> Any:
    """Return the node under `key`, an interpolation as it is; None where there is none."""
    return config._get_node(key)


def node_value(node: ValueNode) -> Any:
    """Return the value of a node, converted to the node's type when it was made."""
    return node._value()
