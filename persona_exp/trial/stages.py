"""The stages of one trial, from its sealed config to plain calls of the rooms below."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from persona_exp import files
from persona_exp.config.schema import Config
from persona_exp.evaluation.evaluate import evaluate, evaluation_id
from persona_exp.modeling.cache import cache_folder
from persona_exp.modeling.source import fetch, published_name
from persona_exp.training.interruption import Interruption
from persona_exp.trial.attempt import Attempt, Superseded
from persona_exp.trial.data import evaluation_examples, training_examples
from persona_exp.trial.directory import Directory

CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Owed:
    """An evaluation that a trial owes: its id and what stands before the model."""

    eval_id: str
    condition: str


def owed(config: Config, trial_id: str, data_id: str) -> list[Owed]:
    """The evaluations that `config` asks of its trial: of the base model with and without the system prompt, of an adapter with it."""
    conditions = ("base", "base+system") if config.method.name == "none" else ("adapter",)
    return [Owed(_eval_id(config, trial_id, data_id, condition), condition) for condition in conditions]


def done(config: Config, directory: Directory, data_id: str) -> bool:
    """Whether everything that `config` asks of its trial is published."""
    trained = config.method.name == "none" or directory.adapter.is_dir()
    return trained and all((directory.evaluations / one.eval_id).is_dir() for one in owed(config, directory.trial_id, data_id))


def run_stages(config: Config, directory: Directory, data_id: str, attempt: Attempt, interruption: Interruption) -> None:
    """Train, unless the adapter is there; evaluate what is still owed. Raises Interrupted when asked to leave."""
    with interruption.at_once():
        model = config.model
        model_folder = fetch(model.source, model.location, model.revision, model.sha256, cache_folder())
    if config.method.name != "none" and not directory.adapter.is_dir():
        _train(config, directory, data_id, model_folder, attempt, interruption)
    with interruption.at_once():
        missing = [one for one in owed(config, directory.trial_id, data_id) if not (directory.evaluations / one.eval_id).is_dir()]
        _evaluate(config, directory, data_id, model_folder, attempt, missing)


def _train(config: Config, directory: Directory, data_id: str, model_folder: Path, attempt: Attempt, interruption: Interruption) -> None:
    from persona_exp.modeling.adapter import add_lora, save_adapter
    from persona_exp.modeling.base import load_model, load_tokenizer
    from persona_exp.modeling.chat import encode, end_of_turn_id
    from persona_exp.training import checkpoint, labels
    from persona_exp.training.schedule import plan
    from persona_exp.training.sft import train

    model_config, optim, settings = config.model, config.optim, config.train
    with interruption.at_once():
        examples = training_examples(config, data_id)
        tokenizer = load_tokenizer(model_folder, model_config.chat_template)
        encoded = [
            encode(tokenizer, example.messages, settings.max_length, model_config.system_role, model_config.end_of_turn)
            for example in examples
        ]
        report = labels.audit(encoded, end_of_turn_id(tokenizer, model_config.end_of_turn))
        attempt.note(labels=report.as_dict())
        print(report.sentence(), flush=True)
        labels.show(encoded[: settings.show_labels], tokenizer)
        model = _load_base(config, model_folder, load_model)
        if config.method.name == "full":
            model.requires_grad_(True)
        else:
            lora = config.lora
            model = add_lora(
                model,
                r=lora.r,
                alpha=lora.alpha,
                dropout=lora.dropout,
                target_modules=lora.target_modules,
                rslora=lora.rslora,
                seed=config.seed,
            )
        resume_from = checkpoint.adopt(sorted(directory.attempts.glob(f"*/{CHECKPOINTS}")), attempt.folder / CHECKPOINTS / "resumed")
        schedule = plan(
            examples=len(encoded),
            epochs=settings.epochs,
            max_steps=settings.max_steps,
            effective_batch_size=optim.effective_batch_size,
            micro_batch_size=settings.micro_batch_size or model_config.micro_batch_size,
            warmup_ratio=optim.warmup_ratio,
        )
    attempt.note(micro_batch_size=schedule.micro_batch_size, resumed_from_step=resume_from and checkpoint.step_of(resume_from))
    if resume_from:
        print(f"Going on from step {checkpoint.step_of(resume_from)} of {schedule.max_steps}.", flush=True)
    summary = train(
        model,
        tokenizer,
        encoded,
        schedule=schedule,
        seed=config.seed,
        optimizer=optim.name,
        lr=optim.lr,
        lr_schedule=optim.schedule,
        weight_decay=optim.weight_decay,
        beta1=optim.beta1,
        beta2=optim.beta2,
        max_grad_norm=optim.max_grad_norm,
        gradient_checkpointing=settings.gradient_checkpointing,
        checkpoints=attempt.folder / CHECKPOINTS,
        checkpoint_steps=settings.checkpoint_steps,
        checkpoint_minutes=settings.checkpoint_minutes,
        keep_checkpoints=settings.keep_checkpoints,
        resume_from=resume_from,
        log=attempt.folder / "train.jsonl",
        log_steps=settings.log_steps,
        tracker=config.tracker.name,
        run_name=directory.trial_id,
        interruption=interruption,
    )
    attempt.note(training={"steps": summary.steps, "resumed_from_step": summary.resumed_from_step, "seconds": summary.seconds})
    staged = attempt.folder / "adapter"
    if config.method.name == "full":
        model.save_pretrained(staged)
    else:
        save_adapter(model, staged, published_name(model_config.source, model_config.location))
    _publish(staged, directory.adapter, attempt)
    # The adapter stands, so no attempt's checkpoints are of use any more.
    for folder in directory.attempts.glob(f"*/{CHECKPOINTS}"):
        shutil.rmtree(folder, ignore_errors=True)


def _evaluate(config: Config, directory: Directory, data_id: str, model_folder: Path, attempt: Attempt, missing: Sequence[Owed]) -> None:
    from persona_exp.modeling.adapter import load_adapter
    from persona_exp.modeling.base import load_model, load_tokenizer

    if not missing:
        return
    settings, model_config = config.evaluation, config.model
    examples = [vars(example) for example in evaluation_examples(config, data_id)]
    tokenizer = load_tokenizer(model_folder, model_config.chat_template)
    model = _load_base(config, directory.adapter if config.method.name == "full" else model_folder, load_model)
    if config.method.name in ("lora", "qlora"):
        model = load_adapter(model, directory.adapter)
    for one in missing:
        staged = attempt.folder / f"evaluation-{one.eval_id}"
        staged.mkdir()
        evaluate(
            model,
            tokenizer,
            examples,
            eval_id=one.eval_id,
            trial_id=directory.trial_id,
            split=settings.split,
            condition=one.condition,
            max_length=settings.max_length,
            system_role=model_config.system_role,
            end_of_turn=model_config.end_of_turn,
            likelihood_items=settings.likelihood_items,
            generated_items=settings.generated_items,
            max_new_tokens=settings.max_new_tokens,
            batch_size=settings.batch_size,
            destination=staged,
        )
        _publish(staged, directory.evaluations / one.eval_id, attempt)


def _load_base(config: Config, folder: Path, load_model: Any) -> Any:
    return load_model(
        folder,
        quantisation=config.method.quantisation,
        double_quantisation=config.method.double_quantisation,
        dtype=config.model.dtype,
        attention=config.model.attention,
    )


def _publish(staged: Path, final: Path, attempt: Attempt) -> None:
    """Make a result the trial's, unless a later attempt owns the trial by now."""
    if attempt.superseded():
        raise Superseded
    files.publish(staged, final)


def _eval_id(config: Config, trial_id: str, data_id: str, condition: str) -> str:
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
