"""TRL's SFTTrainer with this project's loss, order of examples, dropout, learning rates and checkpoints."""

import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from peft import PeftModel
from torch.optim import Optimizer
from torch.utils.data import Sampler
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling, SFTTrainer

from persona_exp.modeling.multi_lora.row_tensors import Document
from persona_exp.modeling.peft_dropout import key_dropout
from persona_exp.modeling.supervised_token_mask import IGNORED_LABEL
from persona_exp.training import checkpoint, checkpoint_disk_space
from persona_exp.training.example_order import examples_of_step
from persona_exp.training.learning_rate_schedule import learning_rate_scheduler
from persona_exp.training.non_finite_gradient import refuse_non_finite
from persona_exp.training.sft_loss import ReplyLoss
from persona_exp.training.steps_and_micro_batches import StepPlan

if TYPE_CHECKING:
    from persona_exp.modeling.supervised_token_mask import Encoded

# Without any one of these the Trainer goes on from a checkpoint all the same, to another result.
STATES = ("optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json")
# The column of the examples' numbers.
NUMBER = "example"


@dataclass
class CheckpointFolder:
    """Where checkpoints of `run` go and how many stay; `space` is what the next one is expected to take, in bytes."""

    path: Path
    keep: int
    run: str
    on_save: Callable[[int], None]
    space: int


class NumberedCollator:
    """Makes a batch of examples, filled up at their ends, with their numbers."""

    def __init__(self, padding: int) -> None:
        self._pad = DataCollatorForLanguageModeling(pad_token_id=padding)

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        return {**self._pad(examples), NUMBER: torch.tensor([one[NUMBER] for one in examples])}


class _ExampleSampler(Sampler[int]):
    """The examples of an epoch in their order; which epoch that is follows from the trainer's steps, also after a resume."""

    def __init__(self, trainer: SFTTrainer, examples: int, effective_batch_size: int) -> None:
        self._trainer, self._examples, self._effective_batch_size = trainer, examples, effective_batch_size

    def __len__(self) -> int:
        return self._examples

    def __iter__(self) -> Iterator[int]:
        steps = math.ceil(self._examples / self._effective_batch_size)
        first = self._trainer.state.global_step // steps * steps
        sizes = {"examples": self._examples, "effective_batch_size": self._effective_batch_size}
        for step in range(first, first + steps):
            yield from examples_of_step(step, **sizes, seed=self._trainer.args.seed)


class SupervisedTrainer(SFTTrainer):
    """Publishes its checkpoints whole, counts the tokens of each step and takes none that is not finite."""

    # Not every transformers has it.
    loss_is_scaled_for_ga: Any = None

    def prepare(
        self,
        encoded: Sequence["Encoded"],
        plan: StepPlan,
        lr_schedule: str,
        router_coefficient: float,
        checkpoints: CheckpointFolder,
    ) -> None:
        """Make ready to train on `encoded`."""
        model: Any = self.model
        self._encoded, self._plan, self._lr_schedule, self._checkpoints = encoded, plan, lr_schedule, checkpoints
        self._dropout = key_dropout(model, self.args.seed) if isinstance(model, PeftModel) else None
        tokens = torch.tensor(encoded[0].input_ids, device=self.args.device)
        self._reply_loss = ReplyLoss(base_model(model), tokens, router_coefficient)
        if plan.micro_batch_size > 1:
            self._reply_loss.refuse_padding(tokens, int(self._tokenizer.pad_token_id))
        # The loss is divided by the supervised tokens of the whole step, and by nothing else.
        self.model_accepts_loss_kwargs = self.loss_is_scaled_for_ga = True
        self._right: Any = 0
        self._of = 0
        self._step_loss: Any = 0.0
        self.tokens = self.supervised_tokens = 0
        self._logged = (0, 0)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder, step = self._checkpoints, self.state.global_step
        if checkpoint.checkpoint_path(folder.path, step).is_dir():
            return
        what = f"the checkpoint of step {step}"
        checkpoint_disk_space.require(folder.path, folder.space, what)
        staging = folder.path / checkpoint.STAGING
        staged = staging / f"checkpoint-{step}"
        try:
            super()._save_checkpoint(model, trial)  # type: ignore[no-untyped-call]
            missing = [name for name in STATES if not (staged / name).is_file()]
            if missing:
                raise RuntimeError(f"The checkpoint of step {step} was written without {', '.join(missing)}.")
            final = checkpoint.save(staged, folder.path, step=step, keep=folder.keep, run=folder.run)
        except Exception as error:
            full = checkpoint_disk_space.explain(error, folder.path, what)
            shutil.rmtree(staging, ignore_errors=True)
            if full is None:
                raise
            raise full from error
        folder.space = checkpoint_disk_space.size(final)
        folder.on_save(step)

    def _get_train_sampler(self, *_: Any) -> Sampler[int]:
        return _ExampleSampler(self, len(self._encoded), self._plan.micro_batch_size * self._plan.accumulation_steps)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        self.lr_scheduler = learning_rate_scheduler(
            optimizer or cast(Optimizer, self.optimizer),
            lr_schedule=self._lr_schedule,
            warmup_steps=self._plan.warmup_steps,
            max_steps=num_training_steps,
        )
        self._created_lr_scheduler = True
        return self.lr_scheduler

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: "torch.Tensor | int | None" = None
    ) -> torch.Tensor:
        numbers = inputs[NUMBER].tolist()
        documents = [Document(0, self._encoded[n].input_ids, self._encoded[n].labels, self.state.global_step, n) for n in numbers]
        if self._dropout:
            self._dropout.show(documents, inputs["input_ids"].shape[1], inputs["input_ids"].device)
        self.tokens += sum(len(one.input_ids) for one in documents)
        supervised = sum(label != IGNORED_LABEL for one in documents for label in one.labels)
        self.supervised_tokens += supervised
        assert num_items_in_batch is not None
        loss, right = self._reply_loss(inputs, num_items_in_batch, self.current_gradient_accumulation_steps)
        self._step_loss = self._step_loss + loss.detach()
        self._right, self._of = self._right + right, self._of + supervised
        return loss

    def _clip_grad_norm(self, model: Any) -> Any:
        """Return the norm of the step's gradient before it was clipped; called before the weights move."""
        norm, loss = super()._clip_grad_norm(model), float(self._step_loss)  # type: ignore[no-untyped-call]
        self._step_loss = 0.0
        refuse_non_finite(self.state.global_step + 1, loss, float(norm))
        return norm

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            logs.update(tokens=self.tokens - self._logged[0], supervised_tokens=self.supervised_tokens - self._logged[1])
            logs["mean_token_accuracy"] = float(self._right) / max(self._of, 1)
            self._right = self._of = 0
            self._logged = (self.tokens, self.supervised_tokens)
        super().log(logs, start_time)


def base_model(model: Any) -> Any:
    """Return the model below PEFT's layers, or `model` where it has none."""
    return model.get_base_model() if isinstance(model, PeftModel) else model
