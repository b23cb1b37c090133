"""What stays out of a trial's identity."""

from dataclasses import field
from typing import Any


def outside(default: Any) -> Any:
    """A field that is no part of a trial's identity."""
    return field(default=default, metadata={"identity": False})
