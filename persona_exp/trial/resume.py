"""Which checkpoint an attempt goes on from."""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from persona_exp.errors import UserError
from persona_exp.training import checkpoint
from persona_exp.trial.attempt import Attempt
from persona_exp.trial.directory import Directory
from persona_exp.trial.record import attempt_files, read_record
from persona_exp.trial.state import saved_step

CHECKPOINTS = "checkpoints"
# What a lane's checkpoint says of itself (training.fused.lane).
LANE = "lane.json"
# A checkpoint named by hand.
RESUME_CHECKPOINT = "RESUME_CHECKPOINT"


@dataclass(frozen=True)
class Tick:
    """After how many ticks of which bundle a checkpoint was saved."""

    bundle: str
    number: int


def common_tick(directories: Sequence[Directory]) -> Tick | None:
    """The tick of one bundle of which all these trials have a checkpoint, and at which they had come furthest; None where there is none."""
    saved = [_ticks(one) for one in directories]
    common = set.intersection(*map(set, saved)) if saved else set()
    return max(common, key=lambda tick: (sum(steps[tick] for steps in saved), tick.number), default=None)


def step_at(directory: Directory, tick: Tick) -> int | None:
    """The step that the trial had come to at that tick; None where it has no checkpoint of it."""
    return _ticks(directory).get(tick)


def _ticks(directory: Directory) -> dict[Tick, int]:
    """The steps of its checkpoints by tick. What cannot be read is of no tick: taking it up will say why."""
    found = {}
    for path in directory.attempts.glob(f"*/{CHECKPOINTS}/step-*/{LANE}"):
        with suppress(OSError, ValueError, KeyError):
            facts = json.loads(path.read_text(encoding="utf-8"))
            found[Tick(facts["bundle"], facts["tick"])] = checkpoint.step_of(path.parent)
    return found


def adopt(directory: Directory, attempt: Attempt, keep: int, at_most: int | None = None) -> Path | None:
    """A copy of the checkpoint to go on from, in the attempt's own folder; None to begin at step 0. With `at_most`, none after that step.

    One named by hand is begun from once: a job that is put back into the queue names it again at every start, and would lose each time
    what it has saved since. What attempts saved that did not begin there is then left out.
    """
    chosen, destination = _chosen(directory), attempt.folder / CHECKPOINTS / "resumed"
    if chosen is None:
        folders = sorted(directory.attempts.glob(f"*/{CHECKPOINTS}"))
        expected = saved_step(directory.path) if at_most is None else at_most
        return checkpoint.adopt(folders, destination, expected_step=expected, run=directory.trial_id, keep=keep, at_most=at_most)
    attempt.note(resume_checkpoint=str(chosen))

    def began_there(record: Mapping[str, Any]) -> bool:
        return record.get("resume_checkpoint") == str(chosen)

    saved = saved_step(directory.path, began_there)
    begun = checkpoint.saved_after(chosen)
    if saved is None or begun is None or saved <= begun:
        return checkpoint.adopt((), destination, expected_step=None, chosen=chosen, run=directory.trial_id)
    print(f"What began from {RESUME_CHECKPOINT}={chosen} has saved step {saved} since, and goes on from there.", flush=True)
    own = [path.with_suffix("") / CHECKPOINTS for path in attempt_files(directory.path) if began_there(read_record(path))]
    return checkpoint.adopt(own, destination, expected_step=saved, run=directory.trial_id, keep=keep)


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
