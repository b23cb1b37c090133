"""engine=sft: TRL's SFTTrainer, with checkpoints that are published whole and a resume that is exact."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase, PrinterCallback
from trl.trainer.sft_config import SFTConfig

from persona_exp.atomic_files import make_folder
from persona_exp.errors import UserError
from persona_exp.progress_bar import progress
from persona_exp.training import checkpoint, checkpoint_disk_space
from persona_exp.training.experiment_trackers import NoTracker, Tracker
from persona_exp.training.hyperparameters import OptimizerSettings
from persona_exp.training.router_balancing_loss import router_coefficient
from persona_exp.training.sft_checkpoint_callback import CheckpointCallback
from persona_exp.training.sft_log_callback import LogCallback
from persona_exp.training.sft_trainer import NUMBER, CheckpointFolder, NumberedCollator, SupervisedTrainer, base_model
from persona_exp.training.steps_and_micro_batches import StepPlan
from persona_exp.training.stop_signals import Interruption

if TYPE_CHECKING:
    from persona_exp.modeling.supervised_token_mask import Encoded


@dataclass(frozen=True)
class SftSettings:
    """How to train. `gradient_checkpointing` is true or false; anything else is false. With `router_aux_loss` the load-balancing loss of
    the model's experts is added."""

    plan: StepPlan
    optimizer: OptimizerSettings
    seed: int
    gradient_checkpointing: bool | str
    router_aux_loss: bool = False


@dataclass(frozen=True)
class CheckpointSettings:
    """Checkpoints go to `folder`, where the newest `keep` stay; the run goes on from the one at `resume_from`, if any."""

    folder: Path
    every_steps: int
    every_minutes: float
    keep: int
    resume_from: Path | None


@dataclass(frozen=True)
class LogSettings:
    """One JSON line each `every_steps` steps goes to `file`, and what it says to `tracker`. `run_name` is the trial's."""

    file: Path
    every_steps: int
    run_name: str
    tracker: Tracker = field(default_factory=NoTracker)


@dataclass(frozen=True)
class Summary:
    """What a run did in this attempt: `tokens` are real ones, without padding."""

    steps: int
    resumed_from_step: int
    seconds: float
    tokens: int
    supervised_tokens: int


def _nothing(*_: object) -> None:
    pass


def train_sft(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    encoded: Sequence["Encoded"],
    *,
    settings: SftSettings,
    checkpoints: CheckpointSettings,
    log: LogSettings,
    interruption: Interruption,
    on_step: Callable[[int, int, float | None], None] = _nothing,
    on_save: Callable[[int], None] = _nothing,
) -> Summary:
    """Train `model` in place on `encoded` (token ids and labels, one example each) for all steps of the plan.

    The loss is the mean over the supervised tokens of a step, through the model's own head. Order and LoRA's dropout are those of
    engine=fused, drawn from the seed, so that without the experts' loss another micro-batch is the same training. Trainable parameters are
    held in fp32.

    `on_step` is called with the step, their number and the last loss after each optimiser step, before anything is saved; what it raises
    ends the run. `on_save` is called with the step of each checkpoint once that is published. On a signal save the last whole step and
    raise Interrupted. Raise DiskFull when the disk is full; FloatingPointError, before the weights move, where the loss or the gradient of
    a step is not finite.
    """
    plan, resume_from = settings.plan, checkpoints.resume_from
    make_folder(checkpoints.folder)
    coefficient = router_coefficient(base_model(model)) if settings.router_aux_loss else 0.0
    arguments = _arguments(settings, checkpoints.folder, log)
    if arguments.train_batch_size != plan.micro_batch_size:
        raise UserError("Several GPUs are in sight, which would multiply the batch: show one with CUDA_VISIBLE_DEVICES=0.")
    columns = {"input_ids": [one.input_ids for one in encoded], "labels": [one.labels for one in encoded]}
    dataset = Dataset.from_dict({**columns, NUMBER: list(range(len(encoded)))})
    trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    initial = {name: parameter.detach().clone().float() for name, parameter in trainable.items()}
    done = checkpoint.step_of(resume_from) if resume_from else 0
    numbers = sum(one.numel() for one in trainable.values())
    estimate = checkpoint_disk_space.estimate(numbers, settings.optimizer.name)
    space = checkpoint_disk_space.size(resume_from) if resume_from else estimate
    checkpoint_disk_space.require(checkpoints.folder, space, "a checkpoint")
    started = time.monotonic()
    with progress("training", plan.max_steps, done) as meter:
        trainer = SupervisedTrainer(
            model=model,
            args=arguments,
            train_dataset=dataset,
            processing_class=tokenizer,
            data_collator=NumberedCollator(int(tokenizer.pad_token_id)),
            callbacks=[
                LogCallback(meter, log.file, log.tracker, on_step),
                CheckpointCallback(checkpoints.every_steps, checkpoints.every_minutes, interruption),
            ],
        )
        folder = CheckpointFolder(checkpoints.folder, checkpoints.keep, log.run_name, on_save, space)
        trainer.prepare(encoded, plan, settings.optimizer.lr_schedule, coefficient, folder)
        trainer.remove_callback(PrinterCallback)
        # TRL has rounded QLoRA adapters to bf16, where small updates are lost and a resumed run differs; fp32 is exact.
        for name, parameter in trainable.items():
            parameter.data = initial[name]
        trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
        if trainer.state.global_step < plan.max_steps:
            interruption.raise_if_requested()
    return Summary(
        steps=trainer.state.global_step,
        resumed_from_step=done,
        seconds=time.monotonic() - started,
        tokens=trainer.tokens,
        supervised_tokens=trainer.supervised_tokens,
    )


def _arguments(settings: SftSettings, checkpoints: Path, log: LogSettings) -> SFTConfig:
    plan, optimizer = settings.plan, settings.optimizer
    # Activations are computed again under the name that this transformers has for it. Given in both cases, since TRL's default is to do
    # so, which doubles a small model's time.
    checkpointing = "activation_checkpointing" if "activation_checkpointing" in SFTConfig.__dataclass_fields__ else "gradient_checkpointing"
    recomputation: dict[str, Any] = {
        checkpointing: settings.gradient_checkpointing is True,
        f"{checkpointing}_kwargs": {"use_reentrant": False},
    }
    return SFTConfig(
        output_dir=str(checkpoints / checkpoint.STAGING),
        max_steps=plan.max_steps,
        warmup_steps=plan.warmup_steps,
        per_device_train_batch_size=plan.micro_batch_size,
        gradient_accumulation_steps=plan.accumulation_steps,
        learning_rate=optimizer.lr,
        lr_scheduler_type=optimizer.lr_schedule,
        optim=optimizer.name,
        weight_decay=optimizer.weight_decay,
        adam_beta1=optimizer.beta1,
        adam_beta2=optimizer.beta2,
        max_grad_norm=optimizer.max_grad_norm,
        **recomputation,
        seed=settings.seed,
        # Precision is the model's own: no autocast, the same on every device.
        bf16=False,
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
        save_strategy="no",
        logging_steps=log.every_steps,
        # Trackers get what ours sends, the same of both engines.
        report_to=[],
        disable_tqdm=True,
        # The examples are tokenised, masked and cut already.
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        packing=False,
        # The column of their numbers stays.
        remove_unused_columns=False,
        # Ours is the loss, and what is added to it.
        router_aux_loss_coef=0.0,
    )
