"""JSON for scripts that people read too: a setting a line, and a line for each row of a list; numbers that are not finite are null."""

import json
import math
from collections.abc import Mapping
from typing import Any


def indented_json(value: Any, start: str = "\n") -> str:
    """Return the JSON of `value`; `start` is the line break and the indentation of what is inside no mapping of it.

    Raise TypeError for what JSON has no form of.
    """
    inner = start + "  "
    if isinstance(value, Mapping) and value:
        rows = [f"{_line(_key(key))}: {indented_json(one, inner)}" for key, one in value.items()]
        return f"{{{inner}{f',{inner}'.join(rows)}{start}}}"
    if isinstance(value, list | tuple) and any(isinstance(one, dict | list | tuple) for one in value):
        return f"[{inner}{f',{inner}'.join(map(_line, value))}{start}]"
    return _line(value)


def _line(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value


def _key(key: Any) -> str:
    """Return the text of a key; numbers and the like are written as they are as values."""
    return key if isinstance(key, str) else json.dumps(key)
