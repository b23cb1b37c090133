"""Disk space for a checkpoint: checked before one is written, and recognised as the cause where a write failed for want of it."""

import errno
import shutil
from pathlib import Path

from persona_exp.errors import UserError
from persona_exp.full_disk import FULL, full_error

GIGABYTE = 1e9
# Bytes of optimiser state for each trained number; a number itself is saved in 4.
OPTIMISER_BYTES = {"adamw_torch": 8, "paged_adamw_32bit": 8, "adamw_8bit": 2, "paged_adamw_8bit": 2}
# What a checkpoint holds whatever the model's size: a tokenizer (17 MB for the largest in use), random states, counters.
FIXED_BYTES = 32 * 2**20


class DiskFull(UserError, OSError):
    """The disk is full, by space or by quota. `errno` is ENOSPC or EDQUOT; the message is one sentence with the fix."""

    def __init__(self, message: str, number: int = errno.ENOSPC) -> None:
        super().__init__(message)
        self.errno = number

    def __str__(self) -> str:
        return str(self.args[0])


def estimate(trained: int, optimizer: str) -> int:
    """Return the bytes that a checkpoint of `trained` fp32 numbers and their optimiser state takes at most."""
    return trained * (4 + OPTIMISER_BYTES.get(optimizer, 8)) + FIXED_BYTES


def size(folder: Path) -> int:
    """Return the bytes of the files below `folder`."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def require(folder: Path, needed: int, what: str) -> None:
    """Raise DiskFull unless the file system of `folder` has `needed` bytes free for `what`."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DiskFull(_sentence(folder, what, f"{_gigabytes(needed)} are needed and {_gigabytes(free)} are free"))


def explain(error: BaseException, folder: Path, what: str) -> DiskFull | None:
    """Return the DiskFull that `error` amounts to when writing into `folder` failed, None when the disk was not the reason.

    safetensors and PyTorch wrap the system's error in ones of their own, so the file system itself is asked as well.
    """
    if isinstance(error, DiskFull):
        return error
    number = error.errno if isinstance(error, OSError) and error.errno in FULL else full_error(folder)
    if number is None:
        return None
    why = "the quota is used up" if number == errno.EDQUOT else f"{_gigabytes(shutil.disk_usage(folder).free)} are free"
    return DiskFull(_sentence(folder, what, why), number)


def _sentence(folder: Path, what: str, why: str) -> str:
    return (
        f"The disk of {folder} is full: for {what} {why}; make room (persona-exp clean) and give the same command again, "
        "which goes on from the checkpoint before."
    )


def _gigabytes(count: int) -> str:
    return f"{count / GIGABYTE:.3g} GB"
