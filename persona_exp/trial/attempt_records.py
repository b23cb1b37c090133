"""The records of a trial's attempts, as files."""

import errno
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from persona_exp.errors import UserError

# Why an attempt ended that a search gave up: for good, or until it is among the best that have come so far.
PRUNED, PAUSED = "pruned", "paused"

# Over NFS a read may fail because another host has just replaced the file; opened again, it is the new one.
STALE_PAUSES = (0.02, 0.1, 0.5)


def attempt_files(trial_folder: Path) -> list[Path]:
    """Return the files of a trial's attempts, ascending."""
    return numbered(trial_folder / "attempts")


def numbered(attempts: Path) -> list[Path]:
    """Return the attempts' files in the folder `attempts`, ascending; names of more than four digits do not sort as numbers do."""
    try:
        names = os.listdir(attempts)  # noqa: PTH208 (a listing of 1,000 folders must not make 10,000 paths)
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = [name for name in names if name.endswith(".json") and name[:-5].isdigit()]
    return [attempts / name for name in sorted(found, key=lambda name: (int(name[:-5]), name))]


def read_record(path: Path) -> dict[str, Any]:
    """Return an attempt's record. Raise UserError where it is damaged."""
    try:
        record = json.loads(_content(path))
    except ValueError:
        record = None
    if not isinstance(record, dict) or "status" not in record:
        raise UserError(f"{path} is damaged: remove it to let the trial go on.")
    return record


def ended_by_search(record: Mapping[str, Any], search: str) -> bool:
    """Return whether the attempt of this record was pruned or paused by the search of that name: for all others it was interrupted."""
    given_up = record["status"] == "interrupted" and record.get("cause") in (PRUNED, PAUSED)
    return given_up and record.get("search") == search


def _content(path: Path) -> bytes:
    """Return a file that its owner replaces every few seconds. Raise OSError, which names it."""
    try:
        for pause in STALE_PAUSES:
            try:
                return path.read_bytes()
            except OSError as error:
                if error.errno != errno.ESTALE:
                    raise
                time.sleep(pause)
        return path.read_bytes()
    except OSError as error:
        # That of a read, unlike that of an open, has no name.
        error.filename = error.filename or str(path)
        raise
