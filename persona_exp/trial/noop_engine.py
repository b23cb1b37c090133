"""engine=noop: a trial that is claimed, runs and publishes, and computes nothing. It imports nothing that takes time to load."""

import os
import time

from persona_exp import atomic_files
from persona_exp.training.stop_signals import Interruption
from persona_exp.trial.attempt_claim_and_heartbeat import Attempt
from persona_exp.trial.trial_directory import TrialDirectory

# A rehearsal may want trials that last: seconds each, in steps of a tenth.
SECONDS = "PERSONA_EXP_NOOP_SECONDS"
STEP_SECONDS = 0.1


def run_noop(directory: TrialDirectory, attempt: Attempt, interruption: Interruption) -> None:
    """Publish `adapter/noop.json`. Raise Interrupted when asked to leave, Superseded when another attempt owns the trial."""
    with interruption.at_once():
        steps = round(float(os.environ.get(SECONDS) or 0) / STEP_SECONDS)
        for step in range(1, steps + 1):
            time.sleep(STEP_SECONDS)
            attempt.raise_if_superseded()
            attempt.progress("training", step, steps)
    staged = attempt.staging / directory.adapter.name
    staged.mkdir()
    (staged / directory.noop.name).write_text(atomic_files.canonical_json({"trial_id": directory.trial_id}) + "\n", encoding="utf-8")
    attempt.publish(staged, directory.adapter)
