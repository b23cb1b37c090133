"""Config group `train`: how long to train, how often to save."""

from dataclasses import dataclass

from persona_exp.config.range_checks import at_least, positive, yes_no_auto
from persona_exp.config.schema.outside_identity import outside
from persona_exp.errors import UserError


@dataclass
class Train:
    """How long to train, and how often to validate and to save."""

    epochs: float = 3.0
    """How many times each training example is seen."""
    max_steps: int | None = None
    """The number of optimiser steps, which then counts instead of `train.epochs`."""
    stop_at_step: int | None = None
    """The trial ends after this step, at the learning rates planned for all steps; `persona-exp stop` sets it, and it needs
    engine=fused."""
    max_length: int = 1024
    """The most tokens of an example: a longer one loses the start of its question, then the end of its reply."""
    eval_steps: int | None = None
    """The validation loss is taken each so many optimiser steps (null: never); it needs engine=fused."""
    eval_items: int = 64
    """How many replies of the validation split that loss is taken over."""
    early_stopping_patience: int | None = None
    """The trial ends after so many validations in a row without a lower loss, and publishes its best adapter (null: never)."""
    router_aux_loss: bool = False
    """Add the load-balancing loss of a mixture of experts, with the model's own coefficient; it needs engine=sft."""
    micro_batch_size: int | None = outside(None)
    """How many examples engine=sft puts through the model at once (null: the model's own number)."""
    gradient_checkpointing: bool | str = outside("auto")
    """Compute activations again in the backward pass instead of keeping them; `auto` does so where memory is short (with engine=sft it
    is false)."""
    checkpoint_steps: int = outside(10)
    """A checkpoint is saved each so many optimiser steps, and less often where saving takes more than a twentieth of the time."""
    checkpoint_minutes: float = outside(10.0)
    """A checkpoint is also saved whenever so many minutes have gone by."""
    keep_checkpoints: int = outside(2)
    """How many of a trial's last checkpoints are kept."""
    log_steps: int = outside(1)
    """The loss is logged each so many optimiser steps."""
    show_labels: int = outside(0)
    """So many examples are printed before the first step, with the supervised tokens in colour."""
    halve_on_oom: bool = outside(True)
    """A trial that runs out of memory goes on with less of it, at the same effective batch; false lets it fail."""

    def __post_init__(self) -> None:
        positive("train.epochs", self.epochs)
        if self.max_steps is not None:
            positive("train.max_steps", self.max_steps)
        if self.stop_at_step is not None:
            positive("train.stop_at_step", self.stop_at_step)
            if self.max_steps is not None and self.stop_at_step >= self.max_steps:
                raise UserError(f"train.stop_at_step={self.stop_at_step} is not below train.max_steps={self.max_steps}: lower it.")
        at_least("train.max_length", self.max_length, 16)
        if self.eval_steps is not None:
            positive("train.eval_steps", self.eval_steps)
        positive("train.eval_items", self.eval_items)
        if self.early_stopping_patience is not None:
            positive("train.early_stopping_patience", self.early_stopping_patience)
            if self.eval_steps is None:
                raise UserError("train.early_stopping_patience needs train.eval_steps: the number of steps between validations.")
        if self.micro_batch_size is not None:
            positive("train.micro_batch_size", self.micro_batch_size)
        self.gradient_checkpointing = yes_no_auto("train.gradient_checkpointing", self.gradient_checkpointing)
        positive("train.checkpoint_steps", self.checkpoint_steps)
        positive("train.checkpoint_minutes", self.checkpoint_minutes)
        positive("train.keep_checkpoints", self.keep_checkpoints)
        positive("train.log_steps", self.log_steps)
        at_least("train.show_labels", self.show_labels, 0)
