"""Run sealed trials in this process, each to its end or to the reason why not."""

import errno
import os
import shutil
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from persona_exp.errors import UserError
from persona_exp.training.interruption import Interrupted, Interruption
from persona_exp.trial.attempt import HEARTBEAT_SECONDS, Attempt, Superseded, claim
from persona_exp.trial.directory import Directory
from persona_exp.trial.environment import gpus, hardware, versions
from persona_exp.trial.noop import run_noop
from persona_exp.trial.output import LOG, kept
from persona_exp.trial.provenance import code
from persona_exp.trial.record import attempt_files, read_record
from persona_exp.trial.seal import finished, read_seal, read_seal_facts
from persona_exp.trial.verification import Broken, verify

# By trial, the attempts that run no more, each with (cause, message).
Dead = Mapping[str, Mapping[int, tuple[str, str]]]

FINISHED, FAILED, INTERRUPTED = 0, 1, 75
SUPERSEDED = "a later attempt owns this trial"

# What libraries say when there is no memory left, the processor's allocator and cuBLAS with them.
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "cublas_status_alloc_failed")
DISK_FULL = ("no space left on device", "disk quota exceeded")


def run(
    seals: Sequence[Path],
    interruption: Interruption,
    *,
    dead: Dead | None = None,
    log: bool = False,
    micro_batch_size: int | None = None,
) -> int:
    """Run the trials of these seals one after the other; the worst exit code of theirs.

    A trial that is finished or runs elsewhere is skipped, one that was interrupted goes on from its checkpoint. `dead` names, by trial,
    the attempts that somebody has watched long enough, and what ended each; with `log` all output goes to the attempts' own logs.
    """
    worst = FINISHED
    for path in seals:
        if interruption.requested:
            return max(worst, INTERRUPTED)
        worst = max(worst, _run_one(path, interruption, dead or {}, log, micro_batch_size))
    return worst


def _run_one(path: Path, interruption: Interruption, dead: Dead, log: bool, micro_batch_size: int | None) -> int:
    directory = Directory(path.absolute().parents[1])
    facts = _facts(path)
    if facts and _settled(path, directory):
        return FINISHED
    attempt = claim(
        directory.attempts,
        dead=dead.get(directory.trial_id, {}),
        heartbeat_seconds=facts.get("heartbeat_seconds", HEARTBEAT_SECONDS),
        unless=lambda: bool(facts) and _settled(path, directory),
        seal=path.name,
        config=facts.get("config"),
        code=facts.get("code"),
        **({"micro_batch_size": micro_batch_size} if micro_batch_size else {}),
    )
    if attempt is None:
        print(f"Trial {directory.trial_id} is done or runs elsewhere: skipped.", flush=True)
        return FINISHED
    with kept(attempt.folder / LOG, away=log):
        return _attempted(path, directory, facts, attempt, interruption, micro_batch_size)


def _attempted(
    path: Path,
    directory: Directory,
    facts: Mapping[str, Any],
    attempt: Attempt,
    interruption: Interruption,
    micro_batch_size: int | None,
) -> int:
    """Run the trial in `attempt`, and say there how it ended; the exit code."""
    try:
        with interruption.at_once():
            verify(path)
        if facts["engine"] == "noop":
            run_noop(directory, attempt, interruption)
        else:
            _run_sealed(path, directory, attempt, interruption, micro_batch_size)
    except Interrupted as reason:
        return _interrupted(directory, attempt, reason)
    except Exception as error:
        # Whatever else went wrong, it may be that what it stood on was taken from under it.
        if isinstance(error, Superseded) or attempt.superseded():
            attempt.end("interrupted", cause="superseded", message=SUPERSEDED)
            return FINISHED
        return _failed(directory, attempt, error)
    attempt.end("finished")
    return FINISHED


def _run_sealed(path: Path, directory: Directory, attempt: Attempt, interruption: Interruption, micro_batch_size: int | None) -> None:
    from persona_exp.trial.stages import run_stages

    with interruption.at_once():
        attempt.progress("loading")
        config = read_seal(path)[1]
        threads = _prepare_process(config.cluster.threads, attempt.folder, config.tracker.project)
        attempt.note(code=code()["digest"], versions=versions(), hardware=hardware(), threads=threads, gpus=gpus())
    run_stages(config, directory, read_seal_facts(path)["data_id"], attempt, interruption, micro_batch_size)


def _interrupted(directory: Directory, attempt: Attempt, reason: Interrupted) -> int:
    if attempt.superseded():
        attempt.end("interrupted", cause="superseded", message=SUPERSEDED)
    else:
        attempt.end("interrupted", cause="cancelled" if directory.cancelled.exists() else "signal", message=str(reason))
        print(f"Trial {directory.trial_id}: {reason}; the same command goes on from its last checkpoint.", flush=True)
    return INTERRUPTED


def _failed(directory: Directory, attempt: Attempt, error: Exception) -> int:
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


def _facts(path: Path) -> dict[str, Any]:
    """What the seal says; nothing where it cannot be read, which verifying it will say."""
    try:
        return read_seal_facts(path)
    except UserError:
        return {}


def _settled(path: Path, directory: Directory) -> bool:
    """Whether nothing is left to do or to say: a process may have been killed between its last result and its last word."""
    records = attempt_files(directory.path)
    return finished(path) and (not records or read_record(records[-1])["status"] in ("finished", "pruned"))


def _cause(error: BaseException) -> str:
    """One word for why a trial failed."""
    if isinstance(error, Broken):
        return "seal"
    text = str(error).lower()
    system = [one for one in (error, error.__cause__, error.__context__) if isinstance(one, OSError)]
    if any(one.errno in (errno.ENOSPC, errno.EDQUOT) for one in system) or any(phrase in text for phrase in DISK_FULL):
        return "disk_full"
    if isinstance(error, MemoryError) or any(phrase in text for phrase in OUT_OF_MEMORY):
        return "out_of_memory"
    return "input" if isinstance(error, UserError) else type(error).__name__


def _prepare_process(threads: int | None, folder: Path, project: str) -> int:
    """Set up what computes and tracks; the number of threads."""
    import torch

    if threads:
        torch.set_num_threads(threads)
    # Trackers write beside the attempt's own log, never into the working directory.
    os.environ["WANDB_DIR"] = os.environ["TENSORBOARD_LOGGING_DIR"] = str(folder.absolute())
    os.environ.setdefault("WANDB_PROJECT", project)
    return torch.get_num_threads()
