"""Files that are whole or absent: durable writes, publication by rename, content digests."""

import hashlib
import json
import math
import os
import shutil
import stat
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text, whatever order they were built in."""
    return _canonical.encode(value)


def finite(value: Any) -> Any:
    """`value` as JSON can hold it: None in the place of each number in it that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(inner) for key, inner in value.items()}
    return [finite(inner) for inner in value] if isinstance(value, list | tuple) else value


def json_line(value: Any) -> str:
    """`value` as a line of JSON, with null for a number that is not finite."""
    return json.dumps(finite(value), ensure_ascii=False, allow_nan=False) + "\n"


def digest(value: Any) -> str:
    """SHA-256 (64 hex digits) over the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 (64 hex digits) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tree_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below `folder`, by its relative POSIX path, sorted."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): file_digest(path) for path in files}


def make_folder(path: Path, *, exist_ok: bool = True) -> None:
    """Create a folder and those above it that are missing; in a group's folder each is the group's too, whatever the umask."""
    missing = [one for one in (path, *path.parents) if not one.is_dir()]
    for one in reversed(missing):
        try:
            one.mkdir()
        except FileExistsError:
            # Another, maybe of the group, has made it in this moment: its mode is theirs to set.
            if not one.is_dir() or (one == path and not exist_ok):
                raise
            continue
        if _groups(one.parent):
            one.chmod(stat.S_IMODE(one.stat().st_mode) | stat.S_ISGID | stat.S_IRWXG)
    if not missing and not exist_ok:
        path.mkdir()


def _groups(folder: Path) -> bool:
    """Return whether a folder is its group's to write to, and hands its group on."""
    mode = folder.stat().st_mode
    return bool(mode & stat.S_ISGID and mode & stat.S_IWGRP)


def open_to_group(path: Path) -> None:
    """Let the group write to a file in a folder of the group's."""
    if _groups(path.parent):
        path.chmod(stat.S_IMODE(path.stat().st_mode) | stat.S_IRGRP | stat.S_IWGRP)


def _follow_folder(folder: Path, parent: Path) -> None:
    """Give the files below `folder` the mode that the umask gave `folder`, and the group of `parent` its part.

    Some writers make theirs readable by the owner alone; what is read-only stays so.
    """
    mode = stat.S_IMODE(folder.stat().st_mode) | (stat.S_ISGID | stat.S_IRWXG if _groups(parent) else 0)
    for path in (folder, *folder.rglob("*")):
        own = path.lstat().st_mode
        if stat.S_ISDIR(own):
            path.chmod(mode)
        elif stat.S_ISREG(own) and own & stat.S_IWUSR:
            path.chmod(mode & 0o666)


def sync(path: Path) -> None:
    """Flush one file or directory to the disk, so that a crash cannot lose what a later rename promises."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` in one step: a reader sees the old file or the new one, never a part."""
    make_folder(path.parent)
    staged = path.with_name(f".{path.name}.{os.uname().nodename}.{os.getpid()}.{threading.get_native_id()}.tmp")
    try:
        with staged.open("w", encoding="utf-8") as file:
            open_to_group(staged)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        staged.replace(path)
    except OSError:
        # Half a file takes room, where that may be what was lacking.
        staged.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """`write_text` of indented JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def create_text(path: Path, text: str, *, flushed: bool = True) -> bool:
    """Create `path` with `text` if it does not exist; the first of several writers wins. True for the winner.

    A hard link either appears whole or fails, on NFS too, where O_EXCL alone is not enough. With `flushed` off it is left to the caller to
    bring many files to the disk at once.
    """
    make_folder(path.parent)
    staged = path.with_name(f".{path.name}.{os.uname().nodename}.{os.getpid()}.{threading.get_native_id()}.new")
    try:
        if flushed:
            write_text(staged, text)
        else:
            staged.write_text(text, encoding="utf-8")
            open_to_group(staged)
        os.link(staged, path)
    except FileExistsError:
        # Over NFS the answer to a link that was made may be lost, and the call sent again: then the name is ours all the same.
        return staged.stat().st_nlink == 2
    finally:
        staged.unlink(missing_ok=True)
    return True


def create_folder(path: str, texts: Mapping[str, str]) -> bool:
    """Create the folder `path` with files of these texts, by name or by FOLDER/NAME, if it does not exist; the first of several wins.

    True for the winner. A rename makes it appear whole; on NFS too it fails where a folder with files is there. It is left to the caller to
    bring all to the disk.
    """
    parent, _, name = path.rpartition("/")
    staged = f"{parent or '.'}/.{name}.{os.uname().nodename}.{os.getpid()}.{threading.get_native_id()}.new"
    try:
        _mkdir(staged)
        for folder in dict.fromkeys(one.rpartition("/")[0] for one in texts if "/" in one):
            os.mkdir(f"{staged}/{folder}")  # noqa: PTH102 (a large sweep makes 100,000 files and folders)
        for one, text in texts.items():
            _write_new(f"{staged}/{one}", text.encode())
        if _groups(Path(parent or ".")):
            _follow_folder(Path(staged), Path(parent or "."))
        os.rename(staged, path)  # noqa: PTH104
    except OSError:
        shutil.rmtree(staged, ignore_errors=True)
        # Over NFS the answer to a rename may be lost: then it is ours, and not known to be.
        if not os.path.isdir(path):  # noqa: PTH112
            raise
        return False
    return True


def _mkdir(staged: str) -> None:
    """Make a folder with those above it; one that a process of the same number has left is made anew."""
    try:
        os.mkdir(staged)  # noqa: PTH102
    except FileNotFoundError:
        make_folder(Path(staged))
    except FileExistsError:
        shutil.rmtree(staged)
        os.mkdir(staged)  # noqa: PTH102


def _write_new(path: str, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        while content:
            content = content[os.write(descriptor, content) :]
    finally:
        os.close(descriptor)


def publish(staged: Path, final: Path, *, before: Callable[[], None] = lambda: None) -> bool:
    """Rename the folder `staged` to `final` unless `final` is there already; True when this call published it.

    Everything in `staged` is flushed first; `before`, called between that and the rename, may raise to prevent it. The loser's folder is
    removed: the first result stands. Its files have the mode of a folder that is made there.
    """
    make_folder(final.parent)
    _follow_folder(staged, final.parent)
    for path in sorted(staged.rglob("*")):
        sync(path)
    sync(staged)
    before()
    try:
        # Renaming onto a folder that holds files fails, which is what makes the first publication win.
        staged.rename(final)
    except OSError:
        if not final.is_dir():
            raise
        shutil.rmtree(staged)
        return False
    sync(final.parent)
    return True
