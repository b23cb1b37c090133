"""Output that is not worth a process: what a full disk or a reader that left does not take is dropped, and counted in the next that is."""

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

# A full disk or quota, a reader or a terminal that is gone, a file server that lost the file.
LOST = (errno.ENOSPC, errno.EDQUOT, errno.EPIPE, errno.EIO, errno.ESTALE)


class LossyDescriptor(io.FileIO):
    """A file descriptor whose writes never fail for want of room or readers. `lost` bytes were dropped since the last that was written."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self.lost = 0

    def write(self, data: Any, /) -> int:
        chunk = bytes(data)
        try:
            if self.lost:
                os.write(self.fileno(), f"\n({self.lost} bytes of output are missing here: they could not be written.)\n".encode())
                self.lost = 0
            return os.write(self.fileno(), chunk)
        except OSError as error:
            if error.errno not in LOST:
                raise
            self.lost += len(chunk)
            return len(chunk)


def lossy_text(descriptor: int, encoding: str = "utf-8") -> TextIO:
    """Return a text stream, written line by line, over a descriptor."""
    raw = LossyDescriptor(descriptor)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=encoding, errors="backslashreplace", line_buffering=True)


@contextmanager
def lossy_file(path: Path) -> Iterator[TextIO]:
    """Open `path` to append to it; where not even that can be done for want of room, what is written is dropped."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno not in LOST:
            raise
        descriptor = os.open(os.devnull, os.O_WRONLY)
    stream = lossy_text(descriptor)
    try:
        yield stream
    finally:
        stream.flush()
        os.close(descriptor)


def outlive_full_disk() -> None:
    """Make this process's own standard output and error lossy; for programs, which have them to themselves."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        with suppress(OSError):
            stream.flush()
        setattr(sys, name, lossy_text(stream.fileno(), stream.encoding or "utf-8"))
