"""What a search says of a trial before that is done."""

from typing import Protocol


class Pruning(Protocol):
    """The search that the trials of a process belong to, as far as it gives trials up."""

    # The name of the search, for an attempt's record.
    search: str

    def verdict(self, trial_id: str) -> str | None:
        """Return "pruned" or "paused" where the trial, just validated, is given up; None where it goes on."""


class GivenUp(Exception):
    """A search thinks too little of a trial: `cause` is pruned, or paused until it is among the best."""

    def __init__(self, cause: str, search: str, step: int) -> None:
        super().__init__(f"{cause} by {search} at step {step}")
        self.cause = cause
