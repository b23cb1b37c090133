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
from persona_exp.training.checkpoint_manifest import manifest_step
from persona_exp.trial.attempt_claim_and_heartbeat import Attempt
from persona_exp.trial.attempt_records import attempt_files, read_record
from persona_exp.trial.trial_directory import TrialDirectory
from persona_exp.trial.trial_status import saved_step

CHECKPOINTS = "checkpoints"
# What a slot's checkpoint says of itself (training.fused.slot).
SLOT = "lane.json"
# A checkpoint named by hand.
RESUME_CHECKPOINT = "RESUME_CHECKPOINT"


@dataclass(frozen=True)
class SavedBundleStep:
    """After how many steps of which bundle a checkpoint was saved."""

    bundle: str
    number: int


def common_bundle_step(directories: Sequence[TrialDirectory]) -> SavedBundleStep | None:
    """Return the step of one bundle of which all these trials have a checkpoint, the one with most steps of theirs; None where there is
    none."""
    saved = [_saved_steps(one) for one in directories]
    common = set.intersection(*map(set, saved)) if saved else set()
    return max(common, key=lambda at: (sum(steps[at] for steps in saved), at.number), default=None)


def step_at(directory: TrialDirectory, at: SavedBundleStep) -> int | None:
    """Return the step that the trial had come to at that step of its bundle; None where it has no checkpoint of it."""
    return _saved_steps(directory).get(at)


def _saved_steps(directory: TrialDirectory) -> dict[SavedBundleStep, int]:
    """Return the steps of its checkpoints by that of the bundle. What cannot be read is left out: adopting it will say why."""
    found = {}
    for path in directory.attempts.glob(f"*/{CHECKPOINTS}/step-*/{SLOT}"):
        with suppress(OSError, ValueError, KeyError):
            facts = json.loads(path.read_text(encoding="utf-8"))
            found[SavedBundleStep(facts["bundle"], facts["tick"])] = checkpoint.step_of(path.parent)
    return found


def adopt(directory: TrialDirectory, attempt: Attempt, keep: int, at_most: int | None = None) -> Path | None:
    """Return a copy, in the attempt's folder, of the checkpoint to resume; None to begin at step 0. With `at_most`, none after that step.

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
    begun = manifest_step(chosen)
    if saved is None or begun is None or saved <= begun:
        return checkpoint.adopt((), destination, expected_step=None, chosen=chosen, run=directory.trial_id)
    print(f"What began from {RESUME_CHECKPOINT}={chosen} has saved step {saved} since, and goes on from there.", flush=True)
    own = [path.with_suffix("") / CHECKPOINTS for path in attempt_files(directory.path) if began_there(read_record(path))]
    return checkpoint.adopt(own, destination, expected_step=saved, run=directory.trial_id, keep=keep)


def _chosen(directory: TrialDirectory) -> Path | None:
    """Return the checkpoint named by hand, unless it is another trial's. Raise UserError where it is missing."""
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
