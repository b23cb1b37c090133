"""One line of a check of a site or of a model."""

from dataclasses import dataclass
from typing import Literal

Mark = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Check:
    """What was checked, its mark, what was found, and what to do about it where that is not `ok`."""

    name: str
    mark: Mark
    found: str
    fix: str = ""
