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
