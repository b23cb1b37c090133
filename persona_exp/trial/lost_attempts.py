"""A trial that began and whose attempts are gone: deleted by hand, and with them its checkpoints, its curves and how it ended."""

import os
from collections.abc import Container, Iterable
from pathlib import Path

from persona_exp import atomic_files
from persona_exp.trial.attempt_records import end_without_record, highest_number, numbered_names
from persona_exp.trial.seal_facts import published_seal

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
    if "attempts" in names:
        return f"the records in attempts/ of trial {where} are gone, though it began: its command, given again, goes on from what is left"
    return f"attempts/ of trial {where} is gone, though it began: give the command of the trial again, which trains it anew"


def attempts_lost(trial_folder: Path) -> str | None:
    """Return `lost_attempts` of the trial in this folder; None where it has attempts, or is not there."""
    try:
        lost = lost_attempts(trial_folder, os.listdir(trial_folder))  # noqa: PTH208 (names are all that is wanted)
    except (FileNotFoundError, NotADirectoryError):
        return None
    # The attempts after the rest: one that begins meanwhile writes its record first.
    return None if numbered_names(f"{trial_folder}/attempts") else lost


def begin_anew(trial_folders: Iterable[Path]) -> list[str]:
    """Put one attempt in the place of those that are gone; return a sentence for each trial of which they are.

    It is finished where all that a seal asks for is published, else interrupted: what is published stays, and what is not is made from a
    checkpoint that is left, or from the start. It has the highest number of those that have left a folder.
    """
    said = []
    for folder in trial_folders:
        if attempts_lost(folder) is None:
            continue
        attempts, seal = folder / "attempts", published_seal(folder)
        left = highest_number(attempts)
        number = left or 1
        record = {"attempt": number, "host": None, **end_without_record(seal), "message": "the records of its attempts were gone"}
        atomic_files.make_folder(attempts)
        if atomic_files.create_text(attempts / f"{number:04}.json", atomic_files.canonical_json(record) + "\n"):
            what = f"the records in attempts/ of trial {folder.name} were gone" if left else f"attempts/ of trial {folder.name} was gone"
            anew = f"what it had not published is trained anew{', from a checkpoint where one is left' if left else ''}"
            said.append(f"{what}: {'it is finished, for all that is asked of it is published' if seal else anew}.")
    return said
