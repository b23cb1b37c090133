"""A trial that began and whose attempts are gone: somebody deleted them, and with them its checkpoints, its curves and how it ended."""

import os
from collections.abc import Container, Iterable
from pathlib import Path

from persona_exp import atomic_files
from persona_exp.trial.attempt_records import DAMAGED, numbered_names

# Beside the folder of the attempts, lest both be lost at once.
BEGAN = "began"
# What an attempt publishes. It says as much of a trial that began before BEGAN was noted.
PUBLISHED = ("adapter", "evaluations")


def note_began(trial_folder: Path) -> None:
    """Note that an attempt of the trial has begun. Raise OSError."""
    path = trial_folder / BEGAN
    if not path.exists():
        path.touch()


def lost_attempts(trial_folder: Path | str, names: Container[str]) -> str | None:
    """Return what is to be said of a trial without attempts, in whose folder there are `names`; None where it never began."""
    if not any(one in names for one in (BEGAN, *PUBLISHED)):
        return None
    where = os.path.basename(trial_folder)  # noqa: PTH119 (of 20,000 trials)
    return f"attempts/ of trial {where} is gone, though it began: give the command of the trial again, which trains it anew"


def attempts_lost(trial_folder: Path) -> str | None:
    """Return `lost_attempts` of the trial in this folder; None where it has attempts, or is not there."""
    if numbered_names(f"{trial_folder}/attempts"):
        return None
    try:
        return lost_attempts(trial_folder, os.listdir(trial_folder))  # noqa: PTH208 (names are all that is wanted)
    except (FileNotFoundError, NotADirectoryError):
        return None


def begin_anew(trial_folders: Iterable[Path]) -> list[str]:
    """Put one interrupted attempt in the place of those that are gone; return a sentence for each trial of which they are.

    It goes on as any that was interrupted: what is published stays, and what is not is made from the start.
    """
    said = []
    for folder in trial_folders:
        if attempts_lost(folder) is None:
            continue
        record = {"attempt": 1, "host": None, "status": "interrupted", "cause": DAMAGED, "message": "the records of its attempts were gone"}
        atomic_files.make_folder(folder / "attempts")
        if atomic_files.create_text(folder / "attempts" / "0001.json", atomic_files.canonical_json(record) + "\n"):
            said.append(f"attempts/ of trial {folder.name} was gone: what it had not published is trained anew.")
    return said
