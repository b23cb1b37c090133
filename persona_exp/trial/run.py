"""Run sealed trials in this process, each to its end or to the reason why not."""

import json
import os
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from persona_exp.errors import UserError
from persona_exp.training.interruption import Interrupted, Interruption
from persona_exp.trial import attempt as attempts
from persona_exp.trial.attempt import Superseded
from persona_exp.trial.environment import hardware, versions
from persona_exp.trial.provenance import code
from persona_exp.trial.seal import read_sealed
from persona_exp.trial.stages import done, run_stages

FINISHED, FAILED, INTERRUPTED = 0, 1, 75
POLL_SECONDS = 1.0


def run(sealed: Sequence[Path], interruption: Interruption) -> int:
    """Run the trials of these sealed config files one after the other; the worst exit code of theirs.

    A trial that is finished is skipped, one that runs elsewhere is waited for, one that was interrupted goes on from its checkpoint.
    """
    worst = FINISHED
    for path in sealed:
        worst = max(worst, _run_one(path, interruption))
        if interruption.requested:
            break
    return worst


def _run_one(path: Path, interruption: Interruption) -> int:
    trial, config = read_sealed(path)
    directory = trial.directory
    data_id = json.loads(directory.provenance.read_text(encoding="utf-8"))["data_id"]
    announced = False
    while not done(config, directory, data_id):
        attempt = attempts.claim(directory.attempts)
        if attempt is None:
            if not announced:
                print(f"Trial {trial.trial_id} is running elsewhere; waiting for it.", flush=True)
                announced = True
            if interruption.requested:
                return INTERRUPTED
            time.sleep(POLL_SECONDS)
            continue
        try:
            _prepare_process(config.cluster.threads, attempt.folder, config.tracker.project)
            attempt.note(code=code()["digest"], versions=versions(), hardware=hardware(), threads=_threads(), config=path.name)
            run_stages(config, directory, data_id, attempt, interruption)
        except Superseded:
            attempt.end("interrupted", cause="superseded", message="a later attempt owns this trial")
            continue
        except Interrupted as reason:
            attempt.end("interrupted", cause="signal", message=str(reason))
            print(f"Trial {trial.trial_id}: {reason}; the same command goes on from its last checkpoint.", flush=True)
            return INTERRUPTED
        except Exception as error:
            cause = _cause(error)
            (attempt.folder / "traceback.txt").write_text(traceback.format_exc(), encoding="utf-8")
            attempt.end("failed", cause=cause, message=f"{error}")
            told = f"{error}" if isinstance(error, UserError) else f"{cause}: {error} (traceback in {attempt.folder / 'traceback.txt'})"
            print(f"error: trial {trial.trial_id} failed: {told}", file=sys.stderr, flush=True)
            return FAILED
        attempt.end("finished")
    return FINISHED


def _cause(error: Exception) -> str:
    if isinstance(error, UserError):
        return "input"
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return "out_of_memory"
    return type(error).__name__


def _prepare_process(threads: int | None, folder: Path, project: str) -> None:
    import torch

    if threads:
        torch.set_num_threads(threads)
    # Trackers write beside the attempt's own log, never into the working directory.
    os.environ["WANDB_DIR"] = os.environ["TENSORBOARD_LOGGING_DIR"] = str(folder.absolute())
    os.environ.setdefault("WANDB_PROJECT", project)


def _threads() -> int:
    import torch

    return torch.get_num_threads()
