"""TRL's SFTTrainer as the engine, with checkpoints that are published whole and a resume that is exact."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from transformers import (
    PreTrainedTokenizerBase,
    PrinterCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from persona_exp.errors import UserError
from persona_exp.progress import Meter, progress
from persona_exp.training import checkpoint
from persona_exp.training.interruption import Interruption
from persona_exp.training.labels import IGNORED
from persona_exp.training.schedule import Schedule

if TYPE_CHECKING:
    from persona_exp.modeling.chat import Encoded

STAGING = ".staging"


@dataclass(frozen=True)
class Summary:
    """What a run did in this attempt."""

    steps: int
    resumed_from_step: int
    seconds: float


def train(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    encoded: Sequence["Encoded"],
    *,
    schedule: Schedule,
    seed: int,
    optimizer: str,
    lr: float,
    lr_schedule: str,
    weight_decay: float,
    beta1: float,
    beta2: float,
    max_grad_norm: float,
    gradient_checkpointing: bool,
    checkpoints: Path,
    checkpoint_steps: int,
    checkpoint_minutes: float,
    keep_checkpoints: int,
    resume_from: Path | None,
    log: Path,
    log_steps: int,
    tracker: str,
    run_name: str,
    interruption: Interruption,
) -> Summary:
    """Train `model` in place on `encoded` (token ids and labels, one example each) for `schedule.max_steps` steps.

    The loss is the mean over the supervised tokens of a step, whatever the micro-batch. Trainable parameters are held in fp32.
    Checkpoints go to `checkpoints`, one JSON line each `log_steps` steps to `log`. Raises Interrupted once a signal was honoured.
    """
    arguments = SFTConfig(
        output_dir=str(checkpoints / STAGING),
        max_steps=schedule.max_steps,
        warmup_steps=schedule.warmup_steps,
        per_device_train_batch_size=schedule.micro_batch_size,
        gradient_accumulation_steps=schedule.accumulation_steps,
        learning_rate=lr,
        lr_scheduler_type=lr_schedule,
        optim=optimizer,
        weight_decay=weight_decay,
        adam_beta1=beta1,
        adam_beta2=beta2,
        max_grad_norm=max_grad_norm,
        # Said in both cases: TRL's default recomputes activations, which doubles a small model's time.
        gradient_checkpointing=gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        seed=seed,
        # Precision is the model's own: no autocast, the same on every device.
        bf16=False,
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
        save_strategy="no",
        logging_steps=log_steps,
        report_to=[] if tracker == "none" else [tracker],
        run_name=run_name,
        disable_tqdm=True,
        # The examples are tokenised, masked and cut already.
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        packing=False,
    )
    if arguments.train_batch_size != schedule.micro_batch_size:
        raise UserError("Several GPUs are in sight, which would multiply the batch: show one with CUDA_VISIBLE_DEVICES=0.")
    dataset = Dataset.from_dict({"input_ids": [e.input_ids for e in encoded], "labels": [e.labels for e in encoded]})
    trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    initial = {name: parameter.detach().clone().float() for name, parameter in trainable.items()}
    done = checkpoint.step_of(resume_from) if resume_from else 0
    started = time.monotonic()
    with progress("training", schedule.max_steps, done) as meter:
        trainer = _Trainer(
            model=model,
            args=arguments,
            train_dataset=dataset,
            processing_class=tokenizer,
            callbacks=[
                _Saving(checkpoint_steps, checkpoint_minutes, interruption),
                _Reporting(meter, log),
            ],
        )
        trainer.keep(checkpoints, keep_checkpoints)
        trainer.remove_callback(PrinterCallback)
        # TRL has rounded QLoRA adapters to bf16, where small updates are lost and a resumed run differs; fp32 is exact.
        for name, parameter in trainable.items():
            parameter.data = initial[name]
        trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
    if trainer.state.global_step < schedule.max_steps:
        interruption.raise_if_requested()
    return Summary(steps=trainer.state.global_step, resumed_from_step=done, seconds=time.monotonic() - started)


class _Trainer(SFTTrainer):
    """SFTTrainer that publishes its checkpoints and counts the tokens of each step."""

    def keep(self, checkpoints: Path, count: int) -> None:
        self._checkpoints, self._keep = checkpoints, count
        self._step_tokens = self._step_supervised = 0

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)  # type: ignore[no-untyped-call]
        step = self.state.global_step
        staged = self._checkpoints / STAGING / f"checkpoint-{step}"
        checkpoint.save(staged, self._checkpoints, step=step, keep=self._keep)

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        self._step_tokens += int(inputs["attention_mask"].sum())
        self._step_supervised += int((inputs["labels"] != IGNORED).sum())
        return super().compute_loss(model, inputs, *args, **kwargs)  # type: ignore[no-untyped-call]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            logs.update(tokens=self._step_tokens, supervised_tokens=self._step_supervised)
            self._step_tokens = self._step_supervised = 0
        super().log(logs, start_time)


class _Saving(TrainerCallback):
    """Saves every so many steps and minutes, and when asked to leave."""

    def __init__(self, steps: int, minutes: float, interruption: Interruption) -> None:
        self._steps, self._seconds, self._interruption = steps, minutes * 60, interruption
        self._saved = time.monotonic()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.global_step >= state.max_steps:
            return
        due = state.global_step % self._steps == 0 or time.monotonic() - self._saved > self._seconds
        if self._interruption.requested:
            control.should_training_stop = True
        if due or self._interruption.requested:
            control.should_save = True
            self._saved = time.monotonic()


class _Reporting(TrainerCallback):
    """The progress display and train.jsonl."""

    KEYS = ("loss", "learning_rate", "grad_norm", "epoch", "tokens", "supervised_tokens", "mean_token_accuracy")

    def __init__(self, meter: Meter, log: Path) -> None:
        self._meter, self._log = meter, log
        self._shown: int | None = None
        self._started = time.monotonic()

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._shown = state.global_step

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        logs: dict[str, float] = given["logs"]
        if "loss" not in logs:
            return
        self._meter.advance(state.global_step - (self._shown or 0), note=f"loss {logs['loss']:.3f}")
        self._shown = state.global_step
        line = {"step": state.global_step, **{key: logs[key] for key in self.KEYS if key in logs}}
        line["seconds"] = round(time.monotonic() - self._started, 3)
        with self._log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
