"""That a person asked for a trial by a command of its own, which its provenance does not say where a sweep had it sealed first."""

import errno
from pathlib import Path

from persona_exp import atomic_files
from persona_exp.trial.attempt_claim_and_heartbeat import utc_now
from persona_exp.trial.trial_directory import TrialDirectory

NAME = "asked-alone.json"


def note_asked_alone(directory: TrialDirectory, command: str) -> None:
    """Note the first command that asked for this trial alone, for `persona-exp clean` to keep it whatever becomes of its sweeps.

    Raise OSError, but not where the trial may only be read here: then it is another's to delete too.
    """
    path = directory.path / NAME
    try:
        if not path.exists():
            atomic_files.create_text(path, atomic_files.canonical_json({"command": command, "at": utc_now()}) + "\n")
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise


def is_asked_alone(trial_folder: Path) -> bool:
    """Return whether that was noted of the trial in this folder."""
    return (trial_folder / NAME).exists()
