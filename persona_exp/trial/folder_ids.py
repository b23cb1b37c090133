"""The forms of the names that records give to files and folders under runs/: what has another form leads somewhere else, and is refused."""

import re
from pathlib import Path
from typing import Any

# Twelve digits of a digest; of a rehearsal's data, which are never built, eight behind a word, and in older ones the word alone.
_HEX = r"[0-9a-f]{12}"
_ID = re.compile(_HEX)
_DATA_ID = re.compile(rf"{_HEX}|noop(?:-[0-9a-f]{{8}})?")
_SEAL = re.compile(r"[0-9a-f]{8}\.json")
_CONFIG = re.compile(r"config(?:-[0-9a-f]{8})?\.yaml")
_SEAL_PATH = re.compile(rf"{_HEX}/seals/[0-9a-f]{{8}}\.json")


def is_id(value: Any) -> bool:
    """Return whether `value` can be the id of a trial or of an evaluation, or the name of a folder of code."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def is_data_id(value: Any) -> bool:
    """Return whether `value` can be the id of a dataset."""
    return isinstance(value, str) and _DATA_ID.fullmatch(value) is not None


def is_seal_name(value: Any) -> bool:
    """Return whether `value` can be the name of a seal's file."""
    return isinstance(value, str) and _SEAL.fullmatch(value) is not None


def is_config_name(value: Any) -> bool:
    """Return whether `value` can be the name of a sealed config."""
    return isinstance(value, str) and _CONFIG.fullmatch(value) is not None


def is_seal_path(value: Any) -> bool:
    """Return whether `value` can be a seal's path below runs/trials."""
    return isinstance(value, str) and _SEAL_PATH.fullmatch(value) is not None


def without_links(runs: Path, path: Path) -> bool:
    """Return whether `path` lies below `runs` by folders alone: no part of it under `runs` is a symbolic link, nor `..`."""
    if not path.is_relative_to(runs):
        return False
    below = path.relative_to(runs).parts
    steps = [runs.joinpath(*below[: number + 1]) for number in range(len(below))]
    return ".." not in below and not any(one.is_symlink() for one in steps)


def are_evaluations(value: Any) -> bool:
    """Return whether `value` maps conditions to ids of evaluations."""
    return isinstance(value, dict) and all(isinstance(key, str) and is_id(one) for key, one in value.items())
