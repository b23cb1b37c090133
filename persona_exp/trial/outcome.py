"""How an attempt ended: its last word, and the exit code that goes with it."""

import errno
import shutil
import sys
import traceback

from persona_exp.errors import UserError
from persona_exp.training.interruption import Interrupted
from persona_exp.training.out_of_memory import out_of_memory
from persona_exp.trial.attempt import Attempt, Cancelled, Superseded
from persona_exp.trial.directory import Directory
from persona_exp.trial.verification import Broken

FINISHED, FAILED, INTERRUPTED = 0, 1, 75
SUPERSEDED = "a later attempt owns this trial"

DISK_FULL = ("no space left on device", "disk quota exceeded")


def ended(directory: Directory, attempt: Attempt, error: BaseException | None = None) -> int:
    """Say in the attempt's record what came of it; the exit code. `error` is what ended it before it was finished."""
    if error is None:
        attempt.end("finished")
        return FINISHED
    if isinstance(error, Interrupted | Cancelled):
        return _interrupted(directory, attempt, error)
    # Whatever else went wrong, it may be that what it stood on was taken from under it.
    if isinstance(error, Superseded) or attempt.superseded():
        attempt.end("interrupted", cause="superseded", message=SUPERSEDED)
        return FINISHED
    return _failed(directory, attempt, error)


def _interrupted(directory: Directory, attempt: Attempt, reason: Interrupted | Cancelled) -> int:
    if attempt.superseded():
        attempt.end("interrupted", cause="superseded", message=SUPERSEDED)
    else:
        attempt.end("interrupted", cause="cancelled" if directory.cancelled.exists() else "signal", message=str(reason))
        print(f"Trial {directory.trial_id}: {reason}; the same command goes on from its last checkpoint.", flush=True)
    return INTERRUPTED


def _failed(directory: Directory, attempt: Attempt, error: BaseException) -> int:
    cause = _cause(error)
    if cause == "disk_full":
        # Room for the last words.
        shutil.rmtree(attempt.staging, ignore_errors=True)
    else:
        (attempt.folder / "traceback.txt").write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    told = message = f"{error}"
    if cause == "out_of_memory" and (attempt.record.get("progress") or {}).get("phase") == "evaluating":
        message = f"the evaluation ran out of memory; give the command again with a lower evaluation.batch_size ({error})"
    if not isinstance(error, UserError):
        told = f"{cause}: {message} (traceback in {attempt.folder / 'traceback.txt'})"
    attempt.end("failed", cause=cause, message=message)
    print(f"error: trial {directory.trial_id} failed: {told}", file=sys.stderr, flush=True)
    return FAILED


def _cause(error: BaseException) -> str:
    """One word for why a trial failed."""
    if isinstance(error, Broken):
        return "seal"
    text = str(error).lower()
    system = [one for one in (error, error.__cause__, error.__context__) if isinstance(one, OSError)]
    if any(one.errno in (errno.ENOSPC, errno.EDQUOT) for one in system) or any(phrase in text for phrase in DISK_FULL):
        return "disk_full"
    if out_of_memory(error):
        return "out_of_memory"
    return "input" if isinstance(error, UserError) else type(error).__name__
