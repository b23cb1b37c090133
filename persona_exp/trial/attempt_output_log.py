"""What an attempt prints, kept beside its record."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from persona_exp.lossy_output import lossy_file

LOG = "output.log"


@contextmanager
def kept(path: Path, *, away: bool) -> Iterator[None]:
    """Within this block keep in `path` what is printed: all of it and there alone if `away`, libraries written in C included.

    Else it stays where it went, and what Python prints is kept as well, but for the drawing of a progress bar.
    """
    with lossy_file(path) as log:
        redirect = _moved(log) if away else _copied(log)
        with redirect:
            yield


@contextmanager
def _moved(log: TextIO) -> Iterator[None]:
    streams = [(stream, stream.fileno()) for stream in (sys.stdout, sys.stderr)]
    before = [os.dup(number) for _, number in streams]
    for stream, number in streams:
        stream.flush()
        os.dup2(log.fileno(), number)
        # Python fills a buffer before it writes to a file; who follows the log wants lines.
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    try:
        yield
    finally:
        for (stream, number), old in zip(streams, before, strict=True):
            stream.flush()
            os.dup2(old, number)
            os.close(old)


@contextmanager
def _copied(log: TextIO) -> Iterator[None]:
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Both(before[0], log), _Both(before[1], log)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


class _Both:
    """A stream whose text goes to a second file too; in all else it is the first."""

    def __init__(self, stream: TextIO, log: TextIO) -> None:
        self._stream, self._log = stream, log

    def write(self, text: str) -> int:
        # Moving the cursor makes a drawing, not a line of a log.
        if "\x1b[" not in text and "\r" not in text:
            self._log.write(text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
