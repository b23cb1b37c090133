"""Which checkpoint an attempt goes on from."""

import os
from collections.abc import Iterable
from pathlib import Path

from persona_exp.errors import UserError
from persona_exp.training import checkpoint
from persona_exp.trial.attempt import Attempt
from persona_exp.trial.directory import Directory
from persona_exp.trial.state import ASIDE, attempt_files, read_record

CHECKPOINTS = "checkpoints"
# A checkpoint named by hand.
RESUME_CHECKPOINT = "RESUME_CHECKPOINT"


def adopt(directory: Directory, attempt: Attempt, keep: int) -> Path | None:
    """A copy of the checkpoint to go on from, in the attempt's own folder; None to begin at step 0."""
    return checkpoint.adopt(
        sorted(directory.attempts.glob(f"*/{CHECKPOINTS}")),
        attempt.folder / CHECKPOINTS / "resumed",
        expected_step=_saved_step(attempt_files(directory.path)),
        chosen=_chosen(directory),
        run=directory.trial_id,
        keep=keep,
    )


def _saved_step(files: Iterable[Path]) -> int | None:
    """The highest step that attempts recorded as saved and that should still be there."""
    highest: int | None = None
    for path in files:
        record = read_record(path)
        if record.get("checkpoints_cleared"):
            # Its adapter stood, so they were of no more use.
            highest = None
        elif record.get("checkpoint_step") is not None and not (path.with_suffix("") / ASIDE).exists():
            highest = max(highest or 0, int(record["checkpoint_step"]))
    return highest


def _chosen(directory: Directory) -> Path | None:
    """The checkpoint named by hand, unless it is another trial's. UserError: it is not there."""
    named = os.environ.get(RESUME_CHECKPOINT)
    if not named:
        return None
    path = Path(named).expanduser()
    if not path.is_absolute() or not path.is_dir():
        raise UserError(f"{RESUME_CHECKPOINT}={named} is no folder: give the full path of a checkpoint, such as /…/step-00000040.")
    trials = directory.path.parent.resolve()
    if trials in path.resolve().parents and directory.path.resolve() not in path.resolve().parents:
        return None
    return path
