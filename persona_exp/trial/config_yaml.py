"""A config as YAML text. Trials of a sweep differ in few settings, and only those are written anew: YAML is slow to write."""

import json
from collections.abc import Collection
from dataclasses import asdict, is_dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from persona_exp.config.schema import Config

# Where the runs are follows from where the config lies, so that a folder that is reached by two names gives one text.
RUNS = "runs"


class ConfigYaml:
    """Writes configs one after the other; the text of a group is kept while they share the group's object, which nobody changes."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Any, str]] = {}

    def text(self, config: "Config", without: Collection[str] = ()) -> str:
        """Return `config`, with `runs` as it is in every seal, as YAML; the groups named in `without` are left out."""
        return "".join([self._group(name, group) for name, group in vars(config).items() if name not in without])

    def _group(self, name: str, group: Any) -> str:
        kept = self._kept.get(name)
        if kept is None or kept[0] is not group:
            kept = self._kept[name] = (group, _group_yaml(name, RUNS if name == "runs" else plain(group)))
        return kept[1]


def plain(group: Any) -> Any:
    """Return a group of a config as mappings, lists, text and numbers."""
    if isinstance(group, dict):
        return {key: plain(value) for key, value in group.items()}
    return asdict(group) if is_dataclass(group) and not isinstance(group, type) else group


def _group_yaml(name: str, value: Any) -> str:
    if isinstance(value, dict) and value:
        return f"{name}:\n" + "".join(_entry_yaml(name, key, json.dumps(inner)) for key, inner in value.items())
    return f"{name}: {value}\n" if type(value) is int else _yaml({name: value})


@lru_cache(maxsize=4096)
def _entry_yaml(group: str, key: str, value: str) -> str:
    """Return the lines of one entry as they stand in the YAML of its group; `value` is JSON."""
    return _yaml({group: {key: json.loads(value)}}).partition("\n")[2]


def _yaml(value: Any) -> str:
    # A worker, which writes no config, does without it.
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return str(yaml.dump(value, Dumper=dumper, sort_keys=False, allow_unicode=True))
