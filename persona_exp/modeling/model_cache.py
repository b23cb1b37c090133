"""Folders made once and kept: model files that several processes may ask for at the same moment."""

import errno
import fcntl
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from persona_exp.atomic_files import publish

POLL_SECONDS = 0.2
# A kernel lock dies with its process, but a file server may go on holding that of a machine which vanished. Going ahead
# without the lock costs a second download at worst: publication is by rename, and the first wins.
PATIENCE_SECONDS = 900.0


def cache_folder() -> Path:
    """Return `$PERSONA_EXP_CACHE`, else ~/.cache/persona-exp."""
    return Path(os.environ.get("PERSONA_EXP_CACHE") or "~/.cache/persona-exp").expanduser().absolute()


def build_once(
    cache: Path,
    name: str,
    build: Callable[[Path], None],
    patience: float = PATIENCE_SECONDS,
    publish: Callable[[Path, Path], bool] = publish,
) -> Path:
    """Return `cache/name`, made by `build(empty folder)` if it is not there, and published by `publish(made, final)`: the first wins.

    Of several processes one builds and the rest wait; after `patience` seconds a waiting one builds for itself. The folder
    appears whole or not at all, readable as far as the umask allows.
    """
    final = cache / name
    if final.is_dir():
        return final
    cache.mkdir(parents=True, exist_ok=True)
    with build_lock(cache, name, patience):
        if final.is_dir():
            return final
        _remove_abandoned(cache, name)
        staged = cache / f".{name}.{os.uname().nodename}.{os.getpid()}.staged"
        staged.mkdir()
        try:
            build(staged)
            _open_to_readers(staged)
            publish(staged, final)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
    return final


def _open_to_readers(folder: Path) -> None:
    """Give every file the mode that the umask gave the folder: some writers make theirs readable by the owner alone."""
    mode = folder.stat().st_mode & 0o777
    for path in folder.rglob("*"):
        path.chmod(mode if path.is_dir() else mode & 0o666)


def _remove_abandoned(cache: Path, name: str) -> None:
    """Remove the folders of builders of this machine that are no longer alive."""
    for left in cache.glob(f".{name}.{os.uname().nodename}.*.staged"):
        process = left.name.split(".")[-2]
        if process.isdigit() and not _alive(int(process)):
            shutil.rmtree(left, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return process != os.getpid()


@contextmanager
def build_lock(cache: Path, name: str, patience: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Hold the lock under which `build_once` makes and publishes `cache/name`, or go ahead without it after `patience` seconds.

    Raise OSError if `cache` cannot be written.
    """
    descriptor = os.open(cache / f".{name}.lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _acquire(descriptor, name, patience)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, name: str, patience: float) -> None:
    """Take the lock, or return without it when the file system has none or `patience` has run out."""
    start = time.monotonic()
    announced = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL):
                return
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
        if time.monotonic() - start > patience:
            _report(f"Waited {patience:.0f} s for another process to prepare {name}; preparing it here too.")
            return
        if not announced:
            announced = True
            _report(f"Waiting for another process that is preparing {name} …")
        time.sleep(POLL_SECONDS)


def _report(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
