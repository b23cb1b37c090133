"""TRL's SFTTrainer as the engine, with checkpoints that are published whole and a resume that is exact."""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase, PrinterCallback
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from persona_exp.errors import UserError
from persona_exp.progress import progress
from persona_exp.training import checkpoint, disk
from persona_exp.training.interruption import Interruption
from persona_exp.training.labels import IGNORED
from persona_exp.training.reporting import Reporting
from persona_exp.training.saving import Saving
from persona_exp.training.schedule import Schedule
from persona_exp.training.tracking import open_tracker

if TYPE_CHECKING:
    from persona_exp.modeling.chat import Encoded

# Without any one of these the Trainer goes on from a checkpoint all the same, to another result.
STATES = ("optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json")
# Of Weights & Biases, where WANDB_PROJECT says nothing.
PROJECT = "persona-exp"


def _nothing(*_: object) -> None:
    pass


@dataclass(frozen=True)
class Summary:
    """What a run did in this attempt: `tokens` are real ones, without padding."""

    steps: int
    resumed_from_step: int
    seconds: float
    tokens: int
    supervised_tokens: int


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
    gradient_checkpointing: bool | str,
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
    on_step: Callable[[int, int, float | None], None] = _nothing,
    on_save: Callable[[int], None] = _nothing,
) -> Summary:
    """Train `model` in place on `encoded` (token ids and labels, one example each) for `schedule.max_steps` steps.

    The loss is the mean over the supervised tokens of a step, whatever the micro-batch. Trainable parameters are held in fp32.
    `gradient_checkpointing` is true or false; anything else is false. `run_name` is the trial's, its tracker's files lie beside `log`.
    Checkpoints go to `checkpoints`, one JSON line each `log_steps` steps to `log`. `on_step` is told the step, their number and the
    last loss after each optimiser step, before anything is saved; what it raises ends the run. `on_save` is told the step of each
    checkpoint once that is published. A signal saves the last whole step and raises Interrupted; DiskFull when a checkpoint has no room.
    """
    checkpoints.mkdir(parents=True, exist_ok=True)
    arguments = SFTConfig(
        output_dir=str(checkpoints / checkpoint.STAGING),
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
        gradient_checkpointing=gradient_checkpointing is True,
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
    space = disk.size(resume_from) if resume_from else disk.estimate(sum(one.numel() for one in trainable.values()), optimizer)
    disk.require(checkpoints, space, "a checkpoint")
    started = time.monotonic()
    with _own_run(tracker, run_name, log.parent, bool(resume_from)), progress("training", schedule.max_steps, done) as meter:
        trainer = _Trainer(
            model=model,
            args=arguments,
            train_dataset=dataset,
            processing_class=tokenizer,
            callbacks=[
                Reporting(meter, log, on_step),
                Saving(checkpoint_steps, checkpoint_minutes, interruption),
            ],
        )
        trainer.publish_to(_Shelf(checkpoints, keep_checkpoints, run_name, on_save, space))
        trainer.remove_callback(PrinterCallback)
        # TRL has rounded QLoRA adapters to bf16, where small updates are lost and a resumed run differs; fp32 is exact.
        for name, parameter in trainable.items():
            parameter.data = initial[name]
        trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
        if trainer.state.global_step < schedule.max_steps:
            interruption.raise_if_requested()
    return Summary(
        steps=trainer.state.global_step,
        resumed_from_step=done,
        seconds=time.monotonic() - started,
        tokens=trainer.tokens,
        supervised_tokens=trainer.supervised_tokens,
    )


@contextmanager
def _own_run(tracker: str, run_name: str, folder: Path, resumed: bool) -> Iterator[None]:
    """Open the run of Weights & Biases that transformers' callback then finds, which would go on with that of the trial before."""
    if tracker != "wandb":
        yield
        return
    run = open_tracker(tracker, run_name=run_name, project=PROJECT, folder=folder, config={}, resumed=resumed, alone=True)
    try:
        yield
    except BaseException:
        run.close(1)
        raise
    run.close()


@dataclass
class _Shelf:
    """Where checkpoints go and how many stay; `space` is what the next one is expected to take, in bytes."""

    checkpoints: Path
    keep: int
    run: str
    on_save: Callable[[int], None]
    space: int


class _Trainer(SFTTrainer):
    """SFTTrainer that publishes its checkpoints and counts the tokens of each step."""

    def publish_to(self, shelf: _Shelf) -> None:
        self._shelf = shelf
        self.tokens = self.supervised_tokens = 0
        self._logged = (0, 0)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        shelf, step = self._shelf, self.state.global_step
        if checkpoint.place(shelf.checkpoints, step).is_dir():
            return
        what = f"the checkpoint of step {step}"
        disk.require(shelf.checkpoints, shelf.space, what)
        staging = shelf.checkpoints / checkpoint.STAGING
        staged = staging / f"checkpoint-{step}"
        try:
            super()._save_checkpoint(model, trial)  # type: ignore[no-untyped-call]
            missing = [name for name in STATES if not (staged / name).is_file()]
            if missing:
                raise RuntimeError(f"The checkpoint of step {step} was written without {', '.join(missing)}.")
            final = checkpoint.save(staged, shelf.checkpoints, step=step, keep=shelf.keep, run=shelf.run)
        except Exception as error:
            full = disk.explain(error, shelf.checkpoints, what)
            shutil.rmtree(staging, ignore_errors=True)
            if full is None:
                raise
            raise full from error
        shelf.space = disk.size(final)
        shelf.on_save(step)

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        self.tokens += int(inputs["attention_mask"].sum())
        self.supervised_tokens += int((inputs["labels"] != IGNORED).sum())
        return super().compute_loss(model, inputs, *args, **kwargs)  # type: ignore[no-untyped-call]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            logs.update(tokens=self.tokens - self._logged[0], supervised_tokens=self.supervised_tokens - self._logged[1])
            self._logged = (self.tokens, self.supervised_tokens)
        super().log(logs, start_time)
