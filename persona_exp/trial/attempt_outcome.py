"""How an attempt ended: its last word, and the exit code that goes with it."""

import errno
import shutil
import sys
import traceback

from persona_exp.errors import UserError
from persona_exp.lossy_output import lossy_file
from persona_exp.training.out_of_memory_errors import is_out_of_memory
from persona_exp.training.stop_signals import Interrupted
from persona_exp.trial.asked_gpu import NoGpu
from persona_exp.trial.attempt_claim_and_heartbeat import Attempt, Cancelled, Superseded
from persona_exp.trial.given_up import GivenUp
from persona_exp.trial.seal_verification import Broken
from persona_exp.trial.stopped_trial import Stopped
from persona_exp.trial.trial_directory import TrialDirectory

FINISHED, FAILED, INTERRUPTED = 0, 1, 75
SUPERSEDED = "a later attempt owns this trial"

DISK_FULL = ("no space left on device", "disk quota exceeded")


def ended(directory: TrialDirectory, attempt: Attempt, error: BaseException | None = None) -> int:
    """Record what came of the attempt; return the exit code. `error` is what ended it before it was finished."""
    if error is None:
        attempt.end("finished")
        return FINISHED
    if isinstance(error, GivenUp) and not attempt.superseded():
        attempt.end("interrupted", cause=error.cause, message=str(error))
        print(f"Trial {directory.trial_id}: {error}.", flush=True)
        return FINISHED
    if isinstance(error, Stopped) and not attempt.superseded():
        attempt.end("interrupted", cause="stopped", message=str(error))
        print(f"Trial {directory.trial_id}: {error}.", flush=True)
        return FINISHED
    if isinstance(error, Interrupted | Cancelled):
        return _interrupted(directory, attempt, error)
    # Whatever else went wrong, it may be that what it stood on was taken from under it.
    if isinstance(error, Superseded) or attempt.superseded():
        attempt.end("interrupted", cause="superseded", message=SUPERSEDED)
        return FINISHED
    return _failed(directory, attempt, error)


def _interrupted(directory: TrialDirectory, attempt: Attempt, reason: Interrupted | Cancelled) -> int:
    if attempt.superseded():
        attempt.end("interrupted", cause="superseded", message=SUPERSEDED)
    else:
        attempt.end("interrupted", cause="cancelled" if directory.cancelled.exists() else "signal", message=str(reason))
        print(f"Trial {directory.trial_id}: {reason}; the same command goes on from its last checkpoint.", flush=True)
    return INTERRUPTED


def _failed(directory: TrialDirectory, attempt: Attempt, error: BaseException) -> int:
    cause = _cause(error)
    if cause == "disk_full":
        # Room for the last words.
        shutil.rmtree(attempt.staging, ignore_errors=True)
    else:
        with lossy_file(attempt.folder / "traceback.txt") as file:
            file.write("".join(traceback.format_exception(error)))
    shown = message = f"{error}"
    if cause == "out_of_memory" and (attempt.record.get("progress") or {}).get("phase") == "evaluating":
        # On a GPU batches are of one size, for figures to be the same.
        lower = "evaluation.max_length" if (attempt.record.get("hardware") or {}).get("gpu") else "evaluation.batch_size"
        message = f"the evaluation ran out of memory; give the command again with a lower {lower} ({error})"
    if not isinstance(error, UserError):
        shown = f"{cause}: {message} (traceback in {attempt.folder / 'traceback.txt'})"
    attempt.end("failed", cause=cause, message=message)
    print(f"error: trial {directory.trial_id} failed: {shown}", file=sys.stderr, flush=True)
    return FAILED


def _cause(error: BaseException) -> str:
    """Return one word for why a trial failed."""
    if isinstance(error, Broken):
        return "seal"
    if isinstance(error, NoGpu):
        return "no_gpu"
    text = str(error).lower()
    system = [one for one in (error, error.__cause__, error.__context__) if isinstance(one, OSError)]
    if any(one.errno in (errno.ENOSPC, errno.EDQUOT) for one in system) or any(phrase in text for phrase in DISK_FULL):
        return "disk_full"
    if is_out_of_memory(error):
        return "out_of_memory"
    return "input" if isinstance(error, UserError) else type(error).__name__
