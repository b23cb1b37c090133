"""What hydra.sweeper.params sweeps, under what the command line says."""

from collections.abc import Mapping, Sequence
from typing import Any

from persona_exp.errors import UserError


def with_parameters(params: Mapping[str, Any], arguments: Sequence[str]) -> list[str]:
    """Return `params` (setting to sweep text, as in Hydra's basic sweeper) as overrides, then `arguments`.

    A setting that `arguments` has too is left to them. Raise UserError for a value that is no text.
    """
    given = settings_of(arguments)
    return [*(as_override(name, value, "params") for name, value in params.items() if setting(name) not in given), *arguments]


def settings_of(arguments: Sequence[str]) -> set[str]:
    """Return which settings some overrides set, add or remove."""
    return {setting(argument.partition("=")[0]) for argument in arguments}


def setting(key: str) -> str:
    """Return an override's key without the sign that adds or removes it."""
    return key.lstrip("+~")


def as_override(name: str, value: Any, where: str) -> str:
    """Return one entry of hydra.sweeper.`where` as an override. Raise UserError for a list or a mapping."""
    if isinstance(value, Sequence | Mapping) and not isinstance(value, str):
        raise UserError(f"hydra.sweeper.{where} gives {name} as {value}: write its values as text, as on the command line.")
    return f"{name}={_text(value)}"


def _text(value: Any) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def refuse_twice(params: Mapping[str, Any], pairs: Sequence[Mapping[str, Any]]) -> None:
    """Raise UserError for a setting that stands in hydra.sweeper.params and in a row of hydra.sweeper.pairs."""
    both = {setting(name) for name in params} & {setting(name) for pair in pairs for name in pair}
    if both:
        raise UserError(f"{min(both)} is in hydra.sweeper.params and in hydra.sweeper.pairs: leave it in one of them.")


def roles_swept(role: str, named: Sequence[str], swept: Sequence[str], arguments: Sequence[str]) -> list[str]:
    """Return those settings `named` under `role` (arms, tuned) that are swept; one that `arguments` fix has no more to compare.

    Raise UserError for a setting that the sweep neither sweeps nor sets.
    """
    unknown = [name for name in named if name not in swept and setting(name) not in settings_of(arguments)]
    if unknown:
        raise UserError(f"{role} names {unknown[0]}, which this sweep does not sweep: sweep it, or take it out of {role}.")
    return [name for name in named if name in swept]
