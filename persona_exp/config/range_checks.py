"""Range checks, each with the sentence a person reads."""

import math
from collections.abc import Sequence

from persona_exp.errors import UserError


def positive(key: str, value: float) -> None:
    """Raise UserError unless `value` is a finite number above zero."""
    if not (math.isfinite(value) and value > 0):
        raise UserError(f"{key}={value} must be above 0.")


def at_least(key: str, value: float, lowest: float) -> None:
    """Raise UserError unless `value` is finite and not below `lowest`."""
    if not (math.isfinite(value) and value >= lowest):
        raise UserError(f"{key}={value} must be at least {lowest}.")


def between(key: str, value: float, lowest: float, highest: float) -> None:
    """Raise UserError unless `lowest` <= `value` <= `highest`."""
    if not lowest <= value <= highest:
        raise UserError(f"{key}={value} must lie between {lowest} and {highest}.")


def one_of(key: str, value: str, choices: Sequence[str]) -> None:
    """Raise UserError unless `value` is one of `choices`."""
    if value not in choices:
        raise UserError(f"{key}={value} must be one of {', '.join(choices)}.")


def yes_no_auto(name: str, value: bool | str) -> bool | str:
    """Return true, false or "auto", the first two also where they come quoted, as shells and YAML sometimes hand them on."""
    if isinstance(value, str):
        one_of(name, value, ("auto", "true", "false"))
        return {"true": True, "false": False}.get(value, value)
    return value
