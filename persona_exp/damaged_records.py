"""Records that are not what they should be: read without trust, and kept beside what takes their place."""

import json
import os
import re
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from persona_exp.errors import UserError

# A record nests a few levels; libyaml's composer overruns its stack, and with it the process, at some thousands.
MOST_LEVELS = 100
# A record has some kilobytes.
READ_BYTES = 1 << 20
# What no text of fewer levels holds, tried first: each match may still be inside a string, of which libyaml's own events tell.
_DEEP = re.compile(rf"^[ \t]{{{MOST_LEVELS}}}|(?:[-?:][ \t]+){{20}}", re.MULTILINE)
_BRACKETS = re.compile(r"[\[{\]}]")


class Damaged(UserError):
    """A record that cannot be read, or is not of the form that is written."""


def record_bytes(path: str | Path) -> bytes:
    """Return what is in a file, and nothing of a pipe that stands in its place, for whose writer no reader waits. Raise OSError."""
    # A sweep of 20,000 trials has so many records: a file object costs twice what the system calls do.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    parts = []
    try:
        while part := os.read(descriptor, READ_BYTES):
            parts.append(part)
    except BlockingIOError:
        return b""
    except OSError as error:
        # That of a read, unlike that of an open, has no name.
        error.filename = error.filename or os.fspath(path)
        raise
    finally:
        os.close(descriptor)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def parsed_json(content: str | bytes) -> Any:
    """Return what JSON text holds. Raise ValueError where it is none, or nests too deeply to be read."""
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("it nests too deeply") from None


def parsed_yaml(text: str) -> Any:
    """Return what YAML text holds. Raise ValueError where it is none, or nests too deeply to be read."""
    import yaml

    # libyaml reads the 1,000 trials of a large sweep in 0.1 s; the parser written in Python takes over a second.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        if _may_be_deep(text) and _levels(text, loader) > MOST_LEVELS:
            raise ValueError("it nests too deeply")
        return yaml.load(text, Loader=loader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"it is not valid YAML: {error}") from None


def set_aside(path: Path, *, stays: bool = False) -> Path | None:
    """Rename a damaged file to `NAME.damaged`, numbered where that is taken, and return its new path; None where it is gone already.

    With `stays` it keeps its own name too, until it is replaced: for one that must be missing at no moment.
    """
    for number in count(1):
        kept = path.with_name(f"{path.name}.damaged" + (f"-{number}" if number > 1 else ""))
        try:
            if path.is_dir():
                # A folder has no links.
                if os.path.lexists(kept):
                    continue
                return path.rename(kept)
            # Unlike a rename, a link takes no name that another launcher has just given to what it found.
            os.link(path, kept, follow_symlinks=False)
            with suppress(FileNotFoundError):
                # What another has put in its place meanwhile stays there.
                if not stays and os.path.samestat(os.lstat(path), os.lstat(kept)):
                    path.unlink()
        except FileExistsError:
            continue
        except FileNotFoundError:
            return None
        return kept
    return None


def set_aside_if_damaged(path: Path, read: Callable[[], object]) -> Path | None:
    """Set a file aside that `read` finds damaged, and return its new path; None where it is whole or missing.

    Raise UserError where `read` refuses it for another reason.
    """
    try:
        read()
    except Damaged:
        return set_aside(path)
    except UserError:
        if path.exists():
            raise
    return None


def _may_be_deep(text: str) -> bool:
    depth = most = 0
    for found in _BRACKETS.finditer(text):
        depth = depth + 1 if found[0] in "[{" else max(0, depth - 1)
        most = max(most, depth)
    return most > MOST_LEVELS // 2 or _DEEP.search(text) is not None


def _levels(text: str, loader: Any) -> int:
    """Return how deeply YAML nests, as far as one level over MOST_LEVELS: by its events, which are no recursion."""
    import yaml

    depth = most = 0
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        most = max(most, depth)
        if most > MOST_LEVELS:
            break
    return most
