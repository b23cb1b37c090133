"""A person's wish to end a running trial early, and the trial that it is then: one of its own, for one id never has two results."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from persona_exp import atomic_files
from persona_exp.damaged_records import parsed_json, record_bytes
from persona_exp.errors import UserError
from persona_exp.process_identity import this_process
from persona_exp.training.checkpoint import STAGING, checkpoint_path
from persona_exp.training.checkpoint_manifest import MANIFEST, damage, write_manifest
from persona_exp.trial.added_trials import AddedTrial, add_trial
from persona_exp.trial.attempt_claim_and_heartbeat import utc_now
from persona_exp.trial.claimed_trial import ClaimedTrial
from persona_exp.trial.resume_checkpoint import CHECKPOINTS
from persona_exp.trial.seal import Sealed, SealedInputs, flush_to_disk, seal
from persona_exp.trial.seal_facts import read_seal_facts
from persona_exp.trial.trial_directory import TrialDirectory

# Before the first attempt: what the trial was given to begin with.
GIVEN = "0000"


class Stopped(Exception):
    """A person has stopped the trial after `step`; `successor` is the trial that ends there."""

    def __init__(self, step: int, successor: Sealed) -> None:
        super().__init__(f"stopped by a person at step {step}; what it had learnt by then is trial {successor.trial_id}")
        self.successor = successor


def stop_at(trial: ClaimedTrial, step: int, checkpoint: Path) -> Stopped:
    """Seal the trial that ends at `step` of this one, hand `checkpoint` of that step on to it, add it to the sweeps that the person named,
    and count this one as cancelled; return how this one ends.

    Killed in between, all of it may be done again: the same step makes the same trial.
    """
    directory, config = trial.directory, trial.config
    facts = read_seal_facts(directory.seals / str(trial.attempt.record["seal"]))
    inputs = SealedInputs(config.model.location, config.model.revision, facts["model_digest"], facts["data_id"], facts["data_sha256"])
    ends_there = replace(config, train=replace(config.train, stop_at_step=step))
    successor = seal(ends_there, command=f"persona-exp stop {directory.trial_id}", inputs=inputs)
    _hand_on(checkpoint, successor.directory, step)
    flush_to_disk(directory.runs)
    request = _request(directory)
    asked = read_seal_facts(successor.path)
    for name in request.get("sweeps", ()):
        overrides = {"train.stop_at_step": step}
        by = {**this_process(), "at": utc_now()}
        one = AddedTrial(successor.trial_id, successor.path.name, directory.trial_id, overrides, asked["engine"], asked["evaluations"], by)
        add_trial(directory.runs / "sweeps" / name, one)
    said = {"at": utc_now(), "by": request.get("by"), "step": step, "trial_id": successor.trial_id}
    atomic_files.create_text(directory.cancelled, json.dumps(said) + "\n")
    return Stopped(step, successor)


def _request(directory: TrialDirectory) -> dict[str, Any]:
    try:
        found = parsed_json(record_bytes(directory.stop))
    except ValueError:
        found = {}
    return found if isinstance(found, dict) else {}


def _hand_on(checkpoint: Path, to: TrialDirectory, step: int) -> None:
    """Give a trial that has not begun a copy of the checkpoint, under its own name. Raise UserError where that is damaged."""
    if to.adapter.is_dir():
        return
    wrong = damage(checkpoint)
    if wrong:
        raise UserError(f"{checkpoint} cannot be handed on, {wrong}: give `persona-exp stop` again.")
    folder = to.attempts / GIVEN / CHECKPOINTS
    staged = folder / STAGING / f"{checkpoint.name}.{os.getpid()}"
    shutil.rmtree(staged, ignore_errors=True)
    shutil.copytree(checkpoint, staged, ignore=shutil.ignore_patterns(MANIFEST))
    write_manifest(staged, step=step, run=to.trial_id)
    atomic_files.publish(staged, checkpoint_path(folder, step))
