"""The records of a trial's attempts, as files."""

import json
import os
from pathlib import Path
from typing import Any

from persona_exp.errors import UserError


def attempt_files(trial_folder: Path) -> list[Path]:
    """The files of a trial's attempts, ascending."""
    return numbered(trial_folder / "attempts")


def numbered(attempts: Path) -> list[Path]:
    """The attempts' files in the folder `attempts`, ascending; names of more than four digits do not sort as numbers do."""
    try:
        names = os.listdir(attempts)  # noqa: PTH208 (a listing of 1,000 folders must not make 10,000 paths)
    except (FileNotFoundError, NotADirectoryError):
        return []
    numbers = sorted((int(name[:-5]), name) for name in names if name.endswith(".json") and name[:-5].isdigit())
    return [attempts / name for _, name in numbers]


def read_record(path: Path) -> dict[str, Any]:
    """What an attempt's file says. UserError: it is damaged."""
    try:
        record = json.loads(path.read_bytes())
    except ValueError:
        record = None
    if not isinstance(record, dict) or "status" not in record:
        raise UserError(f"{path} is damaged: remove it to let the trial go on.")
    return record
