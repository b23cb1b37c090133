"""What a trial publishes, each folder whole and by rename: its adapter (of method=full the model), its evaluations."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.trial.claimed_trial import ClaimedTrial
from persona_exp.trial.resume_checkpoint import CHECKPOINTS
from persona_exp.trial.trial_base_model import base_reference

if TYPE_CHECKING:
    from persona_exp.evaluation.evaluation_target import EvaluationTarget

# In an attempt's record: the SHA-256 of each file that it published as adapter (of method=full as model).
PUBLISHED = "published"


def publish_model(trial: ClaimedTrial, model: Any) -> None:
    """Save what was trained in `model` and publish it."""
    from persona_exp.modeling.adapter_files import save_adapter
    from persona_exp.modeling.model_card import README, model_readme

    # A signal waits for this: what is saved here took the whole training.
    trial.attempt.progress("saving")
    staged, base = trial.attempt.staging / "adapter", base_reference(trial.config, trial.directory)
    if trial.config.method.name == "full":
        model.save_pretrained(staged)
        (staged / README).write_text(model_readme(base), encoding="utf-8")
    else:
        save_adapter(model, staged, base)
    publish_adapter(trial, staged)


def publish_adapter(trial: ClaimedTrial, staged: Path) -> None:
    """Publish the adapter in `staged`; no attempt's checkpoints are of use any more then.

    Raise FloatingPointError where it is not finite: no loss has seen what the last step made.
    """
    from persona_exp.modeling.adapter_files import file_digests, refuse_not_finite

    refuse_not_finite(staged)
    # Beforehand: what is published is then known by its digests, wherever this process ends.
    trial.attempt.note(**{PUBLISHED: file_digests(staged)})
    trial.attempt.publish(staged, trial.directory.adapter)
    for folder in trial.directory.attempts.glob(f"*/{CHECKPOINTS}"):
        shutil.rmtree(folder, ignore_errors=True)
    trial.attempt.note(checkpoints_cleared=True)


def publish_evaluation(trial: ClaimedTrial, target: "EvaluationTarget") -> None:
    """Publish what was measured of `target`."""
    trial.attempt.publish(target.destination, trial.directory.evaluations / target.eval_id)
