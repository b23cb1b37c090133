"""The stages of one trial, from its sealed config to plain calls of the rooms below."""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.training.interruption import Interruption
from persona_exp.trial.attempt import Attempt
from persona_exp.trial.device import forget_peak_memory, peak_flops, peak_memory_bytes
from persona_exp.trial.directory import Directory
from persona_exp.trial.energy import device_energy
from persona_exp.trial.resume import CHECKPOINTS, adopt
from persona_exp.trial.throughput import flops_per_token, multiplied_weights, training_record

if TYPE_CHECKING:
    from persona_exp.config.schema import Config
    from persona_exp.evaluation.subject import Settings, Subject
    from persona_exp.training.fused.validation import Validation
    from persona_exp.training.schedule import Schedule


@dataclass(frozen=True)
class Owed:
    """An evaluation that a trial owes: its id and what stands before the model."""

    eval_id: str
    condition: str


def owed(config: "Config", trial_id: str, data_id: str) -> list[Owed]:
    """The evaluations that `config` asks of its trial: of the base model with and without the system prompt, of an adapter with it."""
    if config.engine.name == "noop":
        return []
    conditions = ("base", "base+system") if config.method.name == "none" else ("adapter",)
    return [Owed(_eval_id(config, trial_id, data_id, condition), condition) for condition in conditions]


def run_stages(
    config: "Config", directory: Directory, data_id: str, attempt: Attempt, interruption: Interruption, micro_batch_size: int | None = None
) -> None:
    """Train, unless the adapter is there; evaluate what is still owed. Raises Interrupted when asked to leave.

    `micro_batch_size` takes the place of the config's, for a trial that ran out of memory with that.
    """
    trains = config.method.name != "none" and not directory.adapter.is_dir()
    if not trains and not missing_evaluations(config, directory, data_id):
        return
    with interruption.at_once():
        attempt.progress("loading")
        model_folder = fetch_model(config)
    if trains:
        _train(config, directory, data_id, model_folder, attempt, interruption, micro_batch_size)
    with interruption.at_once():
        evaluate_owed(config, directory, data_id, model_folder, attempt, missing_evaluations(config, directory, data_id))


def missing_evaluations(config: "Config", directory: Directory, data_id: str) -> list[Owed]:
    """Those that the trial owes and that are not there."""
    return [one for one in owed(config, directory.trial_id, data_id) if not (directory.evaluations / one.eval_id).is_dir()]


def fetch_model(config: "Config") -> Path:
    """The base model's folder on this machine."""
    from persona_exp.modeling.cache import cache_folder
    from persona_exp.modeling.source import fetch

    model, cluster = config.model, config.cluster
    folder = fetch(model.source, model.location, model.revision, model.sha256, cache_folder())
    if cluster.scratch and "model" in cluster.stage:
        from persona_exp.modeling.staging import stage

        return stage(folder, cluster.scratch)
    return folder


def _train(
    config: "Config",
    directory: Directory,
    data_id: str,
    model_folder: Path,
    attempt: Attempt,
    interruption: Interruption,
    micro_batch_size: int | None,
) -> None:
    from persona_exp.modeling.base import load_tokenizer
    from persona_exp.training import checkpoint
    from persona_exp.training.sft import train

    optim, settings = config.optim, config.train
    with interruption.at_once():
        tokenizer = load_tokenizer(model_folder, config.model.chat_template)
        encoded = encode_examples(config, data_id, tokenizer, attempt)
        model = _trainable(config, model_folder)
        resume_from = adopt(directory, attempt, settings.keep_checkpoints)
        schedule = schedule_of(config, len(encoded), micro_batch_size)
    resumed_from = checkpoint.step_of(resume_from) if resume_from else None
    attempt.note(micro_batch_size=schedule.micro_batch_size, resumed_from_step=resumed_from, checkpoint_step=resumed_from)
    if resume_from:
        print(f"Going on from step {resumed_from} of {schedule.max_steps}.", flush=True)

    def on_step(step: int, of: int, loss: float | None) -> None:
        # Asked so often because a processor's count begins anew after some minutes.
        energy.joules()
        attempt.progress("training", step, of, loss)
        attempt.raise_if_superseded()

    attempt.progress("training", resumed_from or 0, schedule.max_steps)
    forget_peak_memory()
    energy = device_energy()
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
        on_step=on_step,
        on_save=lambda step: attempt.note(checkpoint_step=step),
    )
    attempt.note(
        training=training_record(
            **asdict(summary),
            flops_per_token=flops_per_token(multiplied_weights(model), frozen=config.method.name != "full"),
            peak_flops=peak_flops((attempt.record.get("hardware") or {}).get("gpu")),
            peak_memory_bytes=peak_memory_bytes(),
            energy_joules=energy.joules(),
        )
    )
    # A signal waits for this: what is saved here took the whole training.
    attempt.progress("saving")
    _save(config, model, directory, attempt)


def encode_examples(config: "Config", data_id: str, tokenizer: Any, attempt: Attempt) -> list[Any]:
    """The trial's examples as tokens and labels, with what the labels cover noted and said."""
    from persona_exp.modeling.chat import encode, end_of_turn_id
    from persona_exp.training import labels
    from persona_exp.trial.data import training_examples

    model, settings = config.model, config.train
    examples = training_examples(config, data_id)
    encoded = [encode(tokenizer, one.messages, settings.max_length, model.system_role, model.end_of_turn) for one in examples]
    report = labels.audit(encoded, end_of_turn_id(tokenizer, model.end_of_turn))
    attempt.note(labels=report.as_dict())
    print(report.sentence(), flush=True)
    labels.show(encoded[: settings.show_labels], tokenizer)
    return encoded


def validation_of(config: "Config", data_id: str, tokenizer: Any) -> "Validation | None":
    """What the trial is looked at while it trains; None where it is not."""
    from persona_exp.evaluation.choice import choose
    from persona_exp.modeling.chat import encode
    from persona_exp.training.fused.validation import Validation
    from persona_exp.trial.data import validation_examples

    model, settings = config.model, config.train
    if settings.eval_steps is None:
        return None
    chosen = choose([vars(one) for one in validation_examples(config, data_id)], settings.eval_items)
    encoded = [encode(tokenizer, one["messages"], settings.max_length, model.system_role, model.end_of_turn) for one in chosen]
    return Validation(encoded, settings.eval_steps, settings.early_stopping_patience)


def _trainable(config: "Config", model_folder: Path) -> Any:
    model = load_base(config, model_folder)
    if config.method.name == "full":
        model.requires_grad_(True)
        return model
    from persona_exp.modeling.adapter import add_lora

    lora = config.lora
    return add_lora(
        model,
        r=lora.r,
        alpha=lora.alpha,
        dropout=lora.dropout,
        target_modules=lora.target_modules,
        rslora=lora.rslora,
        seed=config.seed,
    )


def schedule_of(config: "Config", examples: int, micro_batch_size: int | None) -> "Schedule":
    """How many steps the trial takes, of what."""
    from persona_exp.training.schedule import plan

    return plan(
        examples=examples,
        epochs=config.train.epochs,
        max_steps=config.train.max_steps,
        effective_batch_size=config.optim.effective_batch_size,
        micro_batch_size=micro_batch_size or config.train.micro_batch_size or config.model.micro_batch_size,
        warmup_ratio=config.optim.warmup_ratio,
    )


def _save(config: "Config", model: Any, directory: Directory, attempt: Attempt) -> None:
    from persona_exp.modeling.adapter import save_adapter
    from persona_exp.modeling.source import published_name

    staged = attempt.staging / "adapter"
    if config.method.name == "full":
        model.save_pretrained(staged)
    else:
        save_adapter(model, staged, published_name(config.model.source, config.model.location))
    publish_adapter(staged, directory, attempt)


def publish_adapter(staged: Path, directory: Directory, attempt: Attempt) -> None:
    """Publish the trial's adapter; no attempt's checkpoints are of use any more then."""
    attempt.publish(staged, directory.adapter)
    for folder in directory.attempts.glob(f"*/{CHECKPOINTS}"):
        shutil.rmtree(folder, ignore_errors=True)
    attempt.note(checkpoints_cleared=True)


def evaluate_owed(
    config: "Config",
    directory: Directory,
    data_id: str,
    model_folder: Path,
    attempt: Attempt,
    missing: Sequence[Owed],
) -> None:
    """Make the evaluations that are `missing`, each published whole."""
    from persona_exp.evaluation.evaluate import evaluate
    from persona_exp.modeling.adapter import load_adapter
    from persona_exp.modeling.base import load_tokenizer

    if not missing:
        return
    attempt.progress("evaluating")
    tokenizer = load_tokenizer(model_folder, config.model.chat_template)
    model = load_base(config, directory.adapter if config.method.name == "full" else model_folder)
    if config.method.name in ("lora", "qlora"):
        model = load_adapter(model, directory.adapter)
    for one in missing:
        attempt.raise_if_superseded()
        subject = subject_of(config, directory, data_id, attempt, one)
        evaluate(model, tokenizer, [subject], evaluation_settings(config))
        attempt.publish(subject.destination, directory.evaluations / one.eval_id)


def subject_of(config: "Config", directory: Directory, data_id: str, attempt: Attempt, one: Owed, lane: int = 0) -> "Subject":
    """What an owed evaluation measures, with a folder of the attempt's to stage it in."""
    from persona_exp.evaluation.subject import Subject
    from persona_exp.trial.data import evaluation_examples

    examples = [vars(example) for example in evaluation_examples(config, data_id)]
    staged = attempt.staging / f"evaluation-{one.eval_id}"
    staged.mkdir()
    return Subject(one.eval_id, directory.trial_id, one.condition, examples, staged, lane)


def evaluation_settings(config: "Config") -> "Settings":
    """How the trial is measured."""
    from persona_exp.evaluation.subject import Settings

    settings = config.evaluation
    return Settings(
        split=settings.split,
        max_length=settings.max_length,
        system_role=config.model.system_role,
        end_of_turn=config.model.end_of_turn,
        likelihood_items=settings.likelihood_items,
        generated_items=settings.generated_items,
        max_new_tokens=settings.max_new_tokens,
        batch_size=settings.batch_size,
    )


def load_base(config: "Config", folder: Path) -> Any:
    """The base model as the trial computes it."""
    from persona_exp.modeling.base import load_model

    return load_model(
        folder,
        quantisation=config.method.quantisation,
        double_quantisation=config.method.double_quantisation,
        dtype=config.model.dtype,
        attention=config.model.attention,
    )


def _eval_id(config: "Config", trial_id: str, data_id: str, condition: str) -> str:
    from persona_exp.evaluation.evaluate import evaluation_id

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
