"""Trials that a person added to a sweep: `added/000001.json` in its folder, each created once, by exclusive link."""

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from persona_exp import atomic_files
from persona_exp.damaged_records import parsed_json, record_bytes
from persona_exp.trial.folder_ids import are_evaluations, is_id, is_seal_name

FOLDER = "added"
NAME = re.compile(r"(\d{6,})\.json")


@dataclass(frozen=True)
class AddedTrial:
    """A trial by its seal (the file's name), made from the trial `origin` by the settings `overrides`.

    `engine` and `evaluations` (the id of each by its condition) are what the seal says; `by` is who added it, where and when.
    """

    trial_id: str
    seal: str
    origin: str
    overrides: dict[str, Any]
    engine: str
    evaluations: dict[str, str]
    by: dict[str, Any]

    @property
    def path(self) -> str:
        """The seal as a path relative to runs/trials."""
        return f"{self.trial_id}/seals/{self.seal}"

    @property
    def title(self) -> str:
        """The trial as a person would name it."""
        changes = (f"{key}={'null' if value is None else value}" for key, value in self.overrides.items())
        return f"{self.origin} with {' '.join(changes)}"


def add_trial(sweep_folder: Path, trial: AddedTrial) -> bool:
    """Add it as the next number; return False where it is among those added already."""
    while True:
        if any(one.trial_id == trial.trial_id for one in added_trials(sweep_folder)):
            return False
        number = max(_numbers(sweep_folder), default=0) + 1
        if atomic_files.create_text(sweep_folder / FOLDER / f"{number:06}.json", json.dumps(asdict(trial), ensure_ascii=False) + "\n"):
            return True


def added_trials(sweep_folder: Path) -> list[AddedTrial]:
    """Return those that were added, in their order. A file that is none of ours is left out (`damaged_additions`)."""
    found = [_read(path) for path in _paths(sweep_folder)]
    return [one for one in found if one is not None]


def damaged_additions(sweep_folder: Path) -> list[str]:
    """Return a sentence for each file of an added trial that cannot be read."""
    again = "remove it and give `persona-exp clone` again"
    return [f"{path} is damaged or none of ours: {again}." for path in _paths(sweep_folder) if _read(path) is None]


def _paths(sweep_folder: Path) -> list[Path]:
    return [sweep_folder / FOLDER / f"{number:06}.json" for number in _numbers(sweep_folder)]


def _numbers(sweep_folder: Path) -> list[int]:
    try:
        names = os.listdir(sweep_folder / FOLDER)  # noqa: PTH208 (read by every process of the sweep, again and again)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(int(found[1]) for name in names if (found := NAME.fullmatch(name)))


def _read(path: Path) -> AddedTrial | None:
    try:
        found = AddedTrial(**parsed_json(record_bytes(path)))
    except (ValueError, TypeError, IsADirectoryError):
        return None
    ids = is_id(found.trial_id) and is_id(found.origin) and is_seal_name(found.seal) and are_evaluations(found.evaluations)
    return found if ids and isinstance(found.overrides, dict) and isinstance(found.by, dict) and isinstance(found.engine, str) else None
