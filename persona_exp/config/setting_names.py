"""Which settings and config groups there are, and of what type a setting's value is."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from persona_exp.config.schema.composition import OF_SWEEP, SEARCH_DEFAULTS, Composition
from persona_exp.project_folders import CONF

# What a value of a type is called, and how one is written.
WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    list: "a list, as in [a,b]",
    dict: "a mapping, as in {a:b}",
}


@cache
def setting_names() -> tuple[str, ...]:
    """Return each setting's name, as it is overridden."""
    return (*_names(Composition, ""), *(f"search.{name}" for name in SEARCH_DEFAULTS))


def _names(group: type, prefix: str) -> Iterator[str]:
    for name, kind in get_type_hints(group).items():
        if isinstance(kind, type) and is_dataclass(kind):
            yield from _names(kind, f"{prefix}{name}.")
        elif name not in OF_SWEEP or name == "notify" or prefix:
            yield f"{prefix}{name}"


@cache
def group_names() -> tuple[str, ...]:
    """Return the config groups, as they are chosen: model, hydra/launcher and the like."""
    return (*sorted(path.relative_to(CONF).as_posix() for path in CONF.rglob("*") if path.is_dir()), "sweeps")


@cache
def setting_type(name: str) -> type | None:
    """Return int, float, bool, str, list or dict: what the setting takes besides null; None of a group, of several, and of unknown ones."""
    kind: Any = Composition
    for part in name.split("."):
        if isinstance(kind, type) and is_dataclass(kind):
            kind = get_type_hints(kind).get(part) if part in {one.name for one in fields(kind)} else None
        elif get_origin(kind) is dict:
            kind = get_args(kind)[1]
        else:
            return None
        if isinstance(kind, UnionType):
            kinds = [one for one in get_args(kind) if one is not NoneType]
            kind = kinds[0] if len(kinds) == 1 else None
    kind = get_origin(kind) or kind
    return kind if kind in WORDS else None
