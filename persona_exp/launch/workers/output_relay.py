"""The output of a worker and of its training process, which the worker hands on to a terminal or a pipe while anybody reads.

A terminal that is closed, a reader that leaves (`| head`): neither is an error of the child's then. On a terminal the child has one of
its own, of the same size, so that it draws what it would draw on the worker's.
"""

import fcntl
import os
import stat
import struct
import termios
import threading
import tty
from types import TracebackType

from persona_exp.full_disk import is_full


def print_line(line: str) -> None:
    """Print a line, if anybody still reads; on a full disk it comes with the next one."""
    try:
        print(line, flush=True)
    except OSError as error:
        if is_full(error):
            return
        # A reader that left (`| head`) is no reason to stop.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


class Outlet:
    """`stdout` and `stderr` are for Popen, None where the child may inherit the worker's own."""

    def __init__(self) -> None:
        self.stdout: int | None = None
        self.stderr: int | None = None
        self.terminal = False
        self._pumps: list[threading.Thread] = []
        self._sizes: list[tuple[int, int]] = []

    def __enter__(self) -> "Outlet":
        ends: dict[tuple[int, int], int] = {}
        for name, descriptor in (("stdout", 1), ("stderr", 2)):
            status = _status(descriptor)
            if status is None:
                continue
            # What is one for the worker is one for the child, or their order would be lost.
            key = (status.st_dev, status.st_ino)
            ends[key] = ends.get(key) or self._open(descriptor)
            setattr(self, name, ends[key])
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
        for pump in self._pumps:
            # A grandchild that outlives its parent may hold the other end open.
            pump.join(timeout=5)

    def close(self) -> None:
        """Let go of the child's ends, once it has them."""
        for end in {self.stdout, self.stderr} - {None}:
            os.close(end)  # type: ignore[arg-type]
        self.stdout = self.stderr = None

    def resize(self) -> None:
        """Give the child's terminal the size of the worker's."""
        for master, own in self._sizes:
            try:
                fcntl.ioctl(master, termios.TIOCSWINSZ, fcntl.ioctl(own, termios.TIOCGWINSZ, struct.pack("HHHH", 0, 0, 0, 0)))
            except OSError:
                # Gone, with its reader.
                continue

    def _open(self, descriptor: int) -> int:
        """Return the child's end of a new pipe or terminal that is pumped to `descriptor`."""
        if os.isatty(descriptor):
            self.terminal = True
            mine, its = os.openpty()
            tty.setraw(its)
            self._sizes.append((mine, descriptor))
            self.resize()
        else:
            mine, its = os.pipe()
        pump = threading.Thread(target=_pump, args=(mine, descriptor), daemon=True)
        pump.start()
        self._pumps.append(pump)
        return its


def _status(descriptor: int) -> os.stat_result | None:
    """Return the status of a terminal, a pipe or a socket; None for what cannot be taken away, such as a file."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status if stat.S_ISFIFO(status.st_mode) or stat.S_ISSOCK(status.st_mode) or os.isatty(descriptor) else None


def _pump(source: int, end: int) -> None:
    """Hand on what the child writes for as long as anybody reads it, and read on when nobody does."""
    heard = True
    while True:
        try:
            chunk = os.read(source, 1 << 16)
        except OSError:
            # That is how a terminal says that its other side is closed.
            chunk = b""
        if not chunk:
            break
        view = memoryview(chunk)
        while heard and view:
            try:
                view = view[os.write(end, view) :]
            except OSError as error:
                if is_full(error):
                    break
                heard = False
    os.close(source)
