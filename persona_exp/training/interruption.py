"""Being asked to leave: USR2, TERM and INT mean save the last whole step and go."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGUSR2, signal.SIGTERM, signal.SIGINT)


class Interrupted(BaseException):
    """The work stopped because it was asked to; it can be taken up again where it was.

    No Exception, so that no library's catch-all takes the request for a fault of its own.
    """


class Interruption:
    """Remembers that a signal came. Between steps the work asks `requested`; where nothing is to be saved it leaves `at_once`."""

    def __init__(self) -> None:
        self.requested: str | None = None
        self._at_once = False

    def listen(self) -> "Interruption":
        """Take over the signals. Main thread only."""
        for number in SIGNALS:
            signal.signal(number, self._note)
        return self

    def raise_if_requested(self) -> None:
        """Raise Interrupted when a signal has come."""
        if self.requested:
            raise Interrupted(f"stopped by {self.requested}")

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Within this block a signal raises Interrupted on the spot."""
        self._at_once = True
        try:
            self.raise_if_requested()
            yield
        finally:
            self._at_once = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = signal.Signals(number).name
        if self._at_once:
            self._at_once = False
            self.raise_if_requested()
