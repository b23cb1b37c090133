"""A disk or quota that is full: recognised, and waited for until there is room."""

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

FULL = (errno.ENOSPC, errno.EDQUOT)
# A torn write leaves less than a block free; a quota shows in no free space at all. Writing this much shows both.
PROBE_BYTES = 2**16
POLL_SECONDS = 5.0
# A signal to leave is noticed so soon.
SLICE_SECONDS = 0.2

Answer = TypeVar("Answer")


def is_full(error: BaseException) -> bool:
    """Return whether `error` says that a disk or a quota is full."""
    return isinstance(error, OSError) and error.errno in FULL


def disk_sentence(error: OSError, folder: Path) -> str:
    """Return which disk is full, and what to do, as a sentence; `folder` is on the disk where the error names no file."""
    # A copy names what is read first, and then what is written.
    path = Path(os.fsdecode(error.filename2 or error.filename or folder)).absolute()
    mount = next(one for one in (path, *path.parents) if one.is_mount() or one == one.parent)
    what = "quota" if error.errno == errno.EDQUOT else "disk"
    return (
        f"The {what} of {mount} is full, where {path} was to be written: make room (persona-exp clean says what can go), or set "
        "PERSONA_EXP_RUNS to a folder on another disk."
    )


def full_error(folder: Path) -> int | None:
    """Return the error number of a full disk when a small file cannot be written into `folder`, else None."""
    path = folder / f".probe-{os.getpid()}"
    try:
        with path.open("wb") as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.errno if error.errno in FULL else None
    finally:
        path.unlink(missing_ok=True)
    return None


def when_there_is_room(
    work: Callable[[], Answer], leave: Callable[[], bool], say: Callable[[str], None], poll_seconds: float = POLL_SECONDS
) -> Answer:
    """Return what `work` returns, done again as long as it fails for a full disk; raise that OSError once `leave`.

    `work` may have been done in part: it must not matter that it is done again.
    """
    said = False
    while True:
        try:
            return work()
        except OSError as error:
            if not is_full(error) or leave():
                raise
            if not said:
                said = True
                say(f"The disk is full ({error}): waiting for room; persona-exp clean says what can go.")
        until = time.monotonic() + poll_seconds
        while not leave() and time.monotonic() < until:
            time.sleep(SLICE_SECONDS)


def require_room(folder: Path) -> None:
    """Raise OSError where not even a small file can be written into `folder` for want of room."""
    number = full_error(folder)
    if number is not None:
        raise OSError(number, os.strerror(number), str(folder))
