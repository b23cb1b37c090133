"""Which evaluations a trial owes, and how a trial that runs alone makes them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from persona_exp.trial.claimed_trial import ClaimedTrial
from persona_exp.trial.trial_base_model import load_base

if TYPE_CHECKING:
    from persona_exp.config.schema import Config
    from persona_exp.evaluation.evaluation_target import EvaluationSettings, EvaluationTarget


@dataclass(frozen=True)
class OwedEvaluation:
    """An evaluation that a trial owes: its id, and whether of the adapter, the base model, or that with the system prompt."""

    eval_id: str
    condition: str


def owed_evaluations(config: "Config", trial_id: str, data_id: str) -> list[OwedEvaluation]:
    """Return the evaluations asked of the trial: of the base model with and without the system prompt, of an adapter with it."""
    if config.engine.name == "noop":
        return []
    conditions = ("base", "base+system") if config.method.name == "none" else ("adapter",)
    return [OwedEvaluation(_eval_id(config, trial_id, data_id, condition), condition) for condition in conditions]


def missing_evaluations(trial: ClaimedTrial) -> list[OwedEvaluation]:
    """Return those that the trial owes and that are not there."""
    owed = owed_evaluations(trial.config, trial.directory.trial_id, trial.data_id)
    return [one for one in owed if not (trial.directory.evaluations / one.eval_id).is_dir()]


def evaluate_trial(trial: ClaimedTrial, model_folder: Path) -> "Iterator[EvaluationTarget]":
    """Make the evaluations that are missing; yield each when it lies in its folder, to be published."""
    from persona_exp.evaluation.evaluate import EvaluatedModel, evaluate
    from persona_exp.modeling.lora_adapter import load_adapter
    from persona_exp.modeling.tokenizer_loading import load_tokenizer

    missing, config = missing_evaluations(trial), trial.config
    if not missing:
        return
    trial.attempt.progress("evaluating")
    tokenizer = load_tokenizer(model_folder, config.model.chat_template)
    model = load_base(config, trial.directory.adapter if config.method.name == "full" else model_folder)
    if config.method.name in ("lora", "qlora"):
        model = load_adapter(model, trial.directory.adapter)
    for one in missing:
        trial.attempt.raise_if_superseded()
        target = evaluation_target(trial, one)
        (measured,) = evaluate(EvaluatedModel(model, tokenizer), [target], evaluation_settings(config))
        if isinstance(measured, Exception):
            raise measured
        yield target


def evaluation_target(trial: ClaimedTrial, one: OwedEvaluation, slot: int = 0) -> "EvaluationTarget":
    """Return what an owed evaluation measures, with a folder of the attempt's to stage it in."""
    from persona_exp.evaluation.evaluation_target import EvaluationTarget
    from persona_exp.trial.trial_dataset import evaluation_examples

    examples = [vars(example) for example in evaluation_examples(trial.config, trial.data_id)]
    staged = trial.attempt.staging / f"evaluation-{one.eval_id}"
    staged.mkdir()
    return EvaluationTarget(one.eval_id, trial.directory.trial_id, one.condition, examples, staged, slot)


def evaluation_settings(config: "Config") -> "EvaluationSettings":
    """Return how the trial is measured."""
    from persona_exp.evaluation.evaluation_target import EvaluationSettings

    settings = config.evaluation
    return EvaluationSettings(
        split=settings.split,
        max_length=settings.max_length,
        system_role=config.model.system_role,
        end_of_turn=config.model.end_of_turn,
        likelihood_items=settings.likelihood_items,
        generated_items=settings.generated_items,
        max_new_tokens=settings.max_new_tokens,
        batch_size=settings.batch_size,
    )


def _eval_id(config: "Config", trial_id: str, data_id: str, condition: str) -> str:
    from persona_exp.evaluation.evaluation_id import evaluation_id

    settings = config.evaluation
    return evaluation_id(
        trial_id=trial_id,
        data_id=data_id,
        split=settings.split,
        condition=condition,
        likelihood_items=settings.likelihood_items,
        generated_items=settings.generated_items,
        max_new_tokens=settings.max_new_tokens,
        max_length=settings.max_length,
    )
