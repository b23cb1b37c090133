"""Folders copied once to a node's own disk, where many small reads do not wait for the shared file system. Imports no torch."""

import ctypes
import json
import logging
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from persona_exp.atomic_files import digest, file_digest
from persona_exp.modeling.model_cache import build_once
from persona_exp.progress_bar import progress

log = logging.getLogger(__name__)

MANIFEST = ".copied.json"
SMALL_BYTES = 1 << 20
BLOCK_BYTES = 16 << 20
MIB = 1 << 20
# A shared file system makes each of many small files wait; several at once wait together.
AT_ONCE = 8
# Copied in more than two seconds, so that progress is shown.
LARGE_BYTES = 1 << 30
# What is left free beside the copy, for whatever else the job puts there.
SPARE_BYTES = 256 * MIB


def copy_to_scratch(model_folder: Path, scratch: str) -> Path:
    """Return a copy of `model_folder` below `scratch`, made by the first process of the node that asks; others wait for it and share it.

    `scratch` may hold environment variables ($TMPDIR). The copy is named by its content (names and sizes of all files, digests of the
    small ones), checked against that, and appears whole or not at all. Where it cannot be made (no room, no permission, a variable
    that is not set), the model is read where it is, with one warning.
    """
    try:
        files = file_sizes(model_folder)
        name = digest({path: [size, file_digest(model_folder / path) if size <= SMALL_BYTES else None] for path, size in files.items()})
        return copy_checked(model_folder, files, scratch_folder(scratch), f"{model_folder.name[:40]}-{name[:12]}")
    except OSError as error:
        log.warning("%s is read where it is, not copied to cluster.scratch=%s: %s.", model_folder, scratch, os_error_reason(error))
        return model_folder


def scratch_folder(scratch: str) -> Path:
    """Return our own folder below `scratch`, whose environment variables are expanded. Raise OSError if it cannot be ours alone."""
    path = Path(os.path.expandvars(scratch)).expanduser()
    if "$" in str(path) or not path.is_absolute():
        raise FileNotFoundError(0, "it names a variable that is not set here" if "$" in str(path) else "it is no absolute path")
    if not path.is_dir():
        raise FileNotFoundError(0, "there is no such folder on this node")
    own = path / f"persona-exp-{os.getuid()}"
    own.mkdir(mode=0o700, exist_ok=True)
    if own.is_symlink() or own.lstat().st_uid != os.getuid():
        raise PermissionError(0, f"{own} belongs to another user")
    return own


def file_sizes(folder: Path) -> dict[str, int]:
    """Return the size in bytes of every file below `folder` by its relative POSIX path, links followed; hidden ones on top are left out."""
    found = {}
    for root, _, names in os.walk(folder, followlinks=True):
        for name in names:
            path = Path(root, name)
            relative = path.relative_to(folder).as_posix()
            if not relative.startswith(".") and path.is_file():
                found[relative] = path.stat().st_size
    return dict(sorted(found.items()))


def copy_checked(source: Path, files: dict[str, int], destination: Path, name: str) -> Path:
    """Return `destination/name`, a checked copy of `files` (sizes by path) of `source`. Raise OSError if it cannot be made.

    A copy that has lost files since, as cleaners of temporary folders take them, is made again.
    """
    final = destination / name
    if final.is_dir() and not is_whole(final):
        lost = final.with_name(f".{name}.{os.uname().nodename}.{os.getpid()}.lost")
        # Another process may have put it aside already.
        if final.exists():
            final.rename(lost)
            shutil.rmtree(lost, ignore_errors=True)
    if not final.is_dir():
        needed, free = sum(files.values()), shutil.disk_usage(destination).free
        if free < needed + SPARE_BYTES:
            raise OSError(0, f"{needed / 1e9:.1f} GB are needed there and {free / 1e9:.1f} are free")
    return build_once(destination, name, lambda folder: _copy(source, files, folder), publish=_publish)


def is_whole(copy: Path) -> bool:
    """Return whether every file that was copied is still there, in its size."""
    try:
        expected: dict[str, int] = json.loads((copy / MANIFEST).read_text(encoding="utf-8"))
        return all((copy / path).stat().st_size == size for path, size in expected.items())
    except (OSError, ValueError):
        return False


def os_error_reason(error: OSError) -> str:
    """Return the reason of `error` in words."""
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{where}"


def _copy(source: Path, files: dict[str, int], folder: Path) -> None:
    for parent in {(folder / relative).parent for relative in files}:
        parent.mkdir(parents=True, exist_ok=True)
    total, done = sum(files.values()), 0
    shown: Any = progress(f"Copying {source.name} to this node (MiB)", total // MIB) if total > LARGE_BYTES else nullcontext()
    with shown as meter, ThreadPoolExecutor(AT_ONCE) as pool:
        for size in pool.map(lambda one: _copy_file(source / one[0], folder / one[0], one[1]), files.items()):
            if meter and (done + size) // MIB > done // MIB:
                meter.advance((done + size) // MIB - done // MIB)
            done += size
    (folder / MANIFEST).write_text(json.dumps(files), encoding="utf-8")


def _copy_file(source: Path, target: Path, size: int) -> int:
    """Copy one file of `size` bytes, and check that it is what it was; its size."""
    small = b""
    with target.open("wb") as file:
        for block in _blocks(source):
            file.write(block)
            small = block if size <= SMALL_BYTES else b""
    # Python takes a .pyc for stale unless its source's time is kept.
    shutil.copystat(source, target)
    if target.stat().st_size != size or (size <= SMALL_BYTES and target.read_bytes() != small):
        raise OSError(0, "it was not copied as it is", str(source))
    return size


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block


def _publish(made: Path, final: Path) -> bool:
    """Rename `made` to `final` unless that is there. The file system is flushed once: file by file, fifty thousand take minutes."""
    descriptor = os.open(made, os.O_RDONLY)
    try:
        ctypes.CDLL(None, use_errno=True).syncfs(descriptor)
    finally:
        os.close(descriptor)
    try:
        made.rename(final)
    except OSError:
        if not final.is_dir():
            raise
        shutil.rmtree(made)
        return False
    return True
