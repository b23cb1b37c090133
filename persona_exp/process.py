"""Processes that end together."""

import ctypes
import signal

PR_SET_PDEATHSIG = 1


def die_with_parent(with_signal: int = signal.SIGKILL) -> None:
    """Have the kernel send this process `with_signal` when its parent ends, however that comes about (Linux)."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, with_signal)
