"""What the kernel does for processes: it ends them together, tells them apart, and brings them signals."""

import ctypes
import os
import signal
from contextlib import suppress
from pathlib import Path
from types import FrameType

PR_SET_PDEATHSIG = 1

# The exit code of what was stopped before its end and goes on when it is run again.
RESUMABLE = 75


def die_with_parent(with_signal: int = signal.SIGKILL) -> None:
    """Have the kernel send this process `with_signal` when its parent ends, however that comes about (Linux)."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, with_signal)


def pid_namespace() -> int | None:
    """What tells this process's numbering of processes from a container's; None where the system does not say."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return None


def sees_others() -> bool:
    """Whether /proc shows the processes of other users: mounted with hidepid it does not."""
    try:
        return os.getuid() == 0 or Path("/proc/1").stat().st_uid != os.getuid()
    except OSError:
        return False


def leave_with_75() -> None:
    """Let USR2 and TERM end this process with the code that says "again", until a worker listens to them. Main thread only."""
    for number in (signal.SIGUSR2, signal.SIGTERM):
        signal.signal(number, _leave)


def _leave(number: int, frame: FrameType | None) -> None:
    # Not through sys.stderr, which the signal may have come in the midst of.
    with suppress(OSError):
        os.write(2, f"Stopped by {signal.Signals(number).name}; the same command goes on.\n".encode())
    raise SystemExit(RESUMABLE)
