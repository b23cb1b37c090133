"""Swept values: as numbers, as text, in order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from persona_exp.atomic_files import canonical_json


def as_number(value: Any) -> float | None:
    """Return `value` as a number if it is one or spells one (YAML reads 1e-4 as text), else None. True and False are no numbers."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def value_text(value: Any) -> str:
    """Return a swept value as it is written on the command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {value_text(part)}" for key, part in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(value_text(part) for part in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def ordered_values(values: Iterable[Any]) -> list[Any]:
    """Return distinct values in the order to show them: ascending where all are numbers, else as they come."""
    distinct = list({canonical_json(value): value for value in values}.values())
    numeric = all(as_number(value) is not None for value in distinct)
    return sorted(distinct, key=lambda value: as_number(value) or 0.0) if numeric else distinct
