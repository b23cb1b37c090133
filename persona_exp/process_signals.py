"""Signals to processes: a parent's death passed on, and the exit code of a process that was stopped and goes on later."""

import ctypes
import os
import signal
from contextlib import suppress
from types import FrameType

PR_SET_PDEATHSIG = 1

# The exit code of what was stopped before its end and goes on when it is run again.
RESUMABLE = 75


def die_with_parent(with_signal: int = signal.SIGKILL) -> None:
    """Have the kernel send this process `with_signal` when its parent ends, however that comes about (Linux)."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, with_signal)


def exit_resumable_on_signal() -> None:
    """Let USR2 and TERM end this process with the code that says "again", until a worker listens to them. Main thread only."""
    for number in (signal.SIGUSR2, signal.SIGTERM):
        signal.signal(number, _leave)


def _leave(number: int, frame: FrameType | None) -> None:
    # Not through sys.stderr, which the signal may have come in the midst of.
    with suppress(OSError):
        os.write(2, f"Stopped by {signal.Signals(number).name}; the same command goes on.\n".encode())
    raise SystemExit(RESUMABLE)
