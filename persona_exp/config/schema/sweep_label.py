"""What a person calls a sweep, `sweep.name` and `sweep.note`: no part of any trial, and in no identity."""

import re
from dataclasses import dataclass

from persona_exp.errors import UserError
from persona_exp.project_folders import LATEST

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+-]{0,79}")


@dataclass
class SweepLabel:
    """What a person calls a sweep. No part of any trial."""

    name: str | None = None
    """The name of the sweep's folder; null: made of what is swept and a hash. A name that another sweep has is refused."""
    note: str | None = None
    """A line about the sweep, shown beside its name. It stays until another is given; an empty one takes it away."""

    def __post_init__(self) -> None:
        if self.name is not None and not NAME.fullmatch(self.name):
            shown = self.name if self.name.isprintable() else repr(self.name)
            raise UserError(
                f"sweep.name={shown} is no name for a folder: give 1 to 80 of the characters A-Z a-z 0-9 . _ = + -, "
                "a letter or digit first."
            )
        if self.name == LATEST:
            raise UserError(f"sweep.name={LATEST} stands for the newest sweep: give another name.")
        if self.name is not None and re.fullmatch(r"[0-9a-f]{12}", self.name):
            raise UserError(f"sweep.name={self.name} looks like a trial's id: give another name.")
        if self.note is not None and not self.note.isprintable():
            raise UserError("sweep.note must be one line of text without control characters.")

    @property
    def given(self) -> bool:
        """Whether either is set."""
        return self.name is not None or self.note is not None
