"""Trained trials that share a base model, evaluated together where they are measured in the same way."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.trial.evaluate_trial import OwedEvaluation, evaluation_settings, missing_evaluations
from persona_exp.trial.publish_results import publish_evaluation
from persona_exp.trial.trial_in_bundle import TrialInBundle

if TYPE_CHECKING:
    from persona_exp.evaluation.evaluation_target import EvaluationSettings, EvaluationTarget
    from persona_exp.modeling.multi_lora.shared_model import SharedModel


def measure(trained: Sequence[TrialInBundle], shared: "SharedModel", model_folder: Path) -> None:
    """Make the evaluations that `trained` owe, each published whole. What goes wrong with one ends that one alone."""
    alike: dict[tuple[Any, ...], list[tuple[TrialInBundle, EvaluationTarget]]] = {}
    for trial in trained:
        # A trial that is killed for want of memory says then how many were evaluated together.
        trial.attempt.note(together=len(trained))
        for owed in missing_evaluations(trial.trial):
            trial.isolated(_add_target, trial, owed, shared, alike)
    for (template, settings), targets in alike.items():
        _evaluate(targets, settings, template, shared, model_folder)
    for trial in trained:
        shared.leave(trial.number)


def _add_target(
    trial: TrialInBundle,
    owed: OwedEvaluation,
    shared: "SharedModel",
    alike: "dict[tuple[Any, ...], list[tuple[TrialInBundle, EvaluationTarget]]]",
) -> None:
    key = (trial.config.model.chat_template, evaluation_settings(trial.config))
    alike.setdefault(key, []).append((trial, trial.evaluation_target(shared, owed)))


def _evaluate(
    targets: "Sequence[tuple[TrialInBundle, EvaluationTarget]]",
    settings: "EvaluationSettings",
    template: str | None,
    shared: "SharedModel",
    model_folder: Path,
) -> None:
    """Measure and publish. An error of one ends it alone; one of the model's, a lack of memory say, is searched for in each half."""
    from persona_exp.evaluation.evaluate import EvaluatedModel, evaluate
    from persona_exp.modeling.tokenizer_loading import load_tokenizer

    tokenizer = load_tokenizer(model_folder, template)
    try:
        measured = evaluate(EvaluatedModel(shared.model, tokenizer, shared.activate_adapters), [target for _, target in targets], settings)
    except Exception as error:
        if len(targets) == 1:
            targets[0][0].end(error)
            return
        print(f"Evaluating {len(targets)} together went wrong ({error}): in two halves now.", flush=True)
    else:
        for (trial, target), found in zip(targets, measured, strict=True):
            if isinstance(found, Exception):
                trial.end(found)
            else:
                trial.isolated(publish_evaluation, trial.trial, target)
        return
    half = len(targets) // 2
    _evaluate(targets[:half], settings, template, shared, model_folder)
    _evaluate(targets[half:], settings, template, shared, model_folder)
