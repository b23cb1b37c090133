"""Signals that ask a process to stop: USR2, TERM and INT mean save the last whole step and leave."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGUSR2, signal.SIGTERM, signal.SIGINT)


class Interrupted(BaseException):
    """The work stopped because it was asked to; it can be resumed where it was.

    No Exception, so that no library's catch-all takes the request for a fault of its own.
    """


class Interruption:
    """Remembers that a signal came, for the work to read `requested` between steps, or to leave `at_once` where nothing is to be saved."""

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
        """Have a signal raise Interrupted on the spot in this block, or at its end where a library caught it."""
        self._at_once = True
        try:
            self.raise_if_requested()
            yield
            if not self._at_once:
                self.raise_if_requested()
        except Exception as error:
            # Cut short halfway through a change of its own, a library's cleanup may raise what follows from that.
            if self.requested and not self._at_once:
                raise Interrupted(f"stopped by {self.requested}") from error
            raise
        finally:
            self._at_once = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = signal.Signals(number).name
        if self._at_once:
            self._at_once = False
            self.raise_if_requested()
