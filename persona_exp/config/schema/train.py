"""Config group `train`: how long to train, how often to save."""

from dataclasses import dataclass

from persona_exp.config.range_checks import at_least, positive, yes_no_auto
from persona_exp.config.schema.outside_identity import outside
from persona_exp.errors import UserError


@dataclass
class Train:
    """How long to train, and how often to validate and to save. `max_steps` overrides `epochs`.

    With `stop_at_step` the trial ends after that step of a training whose learning rate is planned for all of them: what `persona-exp stop`
    makes of a trial that runs. It wants engine=fused.
    `micro_batch_size` examples go through the model at once (null: the model's own). A checkpoint is saved every
    `checkpoint_steps` optimiser steps and whenever `checkpoint_minutes` have gone by, less often where one takes more than a second
    and that more than a twentieth of the time; the last `keep_checkpoints` are kept.
    `gradient_checkpointing` computes activations again in the backward pass instead of keeping them: true, false, or `auto`: where
    engine=fused finds too little memory (engine=sft takes it for false).
    Every `eval_steps` optimiser steps (null: never) the loss of `eval_items` replies of the validation split is taken. Once it was no
    lower `early_stopping_patience` times in a row (null: never) the trial ends, and the adapter of the lowest loss is the one that is
    published. Both want engine=fused.
    `router_aux_loss` adds the load-balancing loss of a mixture of experts, with the model's own coefficient, to that of the replies. It is
    taken over a micro-batch, whose size then counts as part of the trial. It wants engine=sft, and is off as everywhere else where experts
    are not trained.
    `show_labels` prints that many examples before step 1 with the supervised tokens in colour. `halve_on_oom` lets trials that ran out of
    memory go on with less of it: shorter rows and fewer at once, or of engine=sft half the micro-batch, at the same effective batch.
    """

    epochs: float = 3.0
    max_steps: int | None = None
    stop_at_step: int | None = None
    max_length: int = 1024
    eval_steps: int | None = None
    eval_items: int = 64
    early_stopping_patience: int | None = None
    router_aux_loss: bool = False
    micro_batch_size: int | None = outside(None)
    gradient_checkpointing: bool | str = outside("auto")
    checkpoint_steps: int = outside(10)
    checkpoint_minutes: float = outside(10.0)
    keep_checkpoints: int = outside(2)
    log_steps: int = outside(1)
    show_labels: int = outside(0)
    halve_on_oom: bool = outside(True)

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
