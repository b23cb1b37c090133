"""Config group `optim`: the optimiser and its schedule."""

from dataclasses import dataclass

from persona_exp.config.range_checks import at_least, between, one_of, positive
from persona_exp.errors import UserError

# What conf/optim has: where a schedule has no warm-up, anything else was asked for.
WARMUP_RATIO = 0.05


@dataclass
class Optim:
    """AdamW and its schedule. `effective_batch_size` counts examples a step, whatever the micro-batch.

    The rate rises over `warmup_steps` optimiser steps, or, where that is null, over `warmup_ratio` of them all, never over the last; both
    given, `warmup_steps` counts. `schedule=constant` has no warm-up, `constant_with_warmup` does.
    `loraplus_lr_ratio` is how many times A's rate, which is `lr`, an adapter's B gets (LoRA+, Hayou et al. 2024, arXiv:2402.12354, where
    16 is recommended beside a smaller `lr`); 1 is LoRA as it was. Where the method has no adapter it is not read.
    """

    name: str = "adamw_torch"
    lr: float = 2e-4
    schedule: str = "cosine"
    warmup_ratio: float = WARMUP_RATIO
    warmup_steps: int | None = None
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    max_grad_norm: float = 1.0
    effective_batch_size: int = 8
    loraplus_lr_ratio: float = 1.0

    def __post_init__(self) -> None:
        one_of("optim.name", self.name, ("adamw_torch", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit"))
        positive("optim.lr", self.lr)
        one_of("optim.schedule", self.schedule, ("cosine", "linear", "constant", "constant_with_warmup"))
        between("optim.warmup_ratio", self.warmup_ratio, 0, 1)
        if self.warmup_steps is not None:
            at_least("optim.warmup_steps", self.warmup_steps, 0)
        self._refuse_unread_warmup()
        at_least("optim.weight_decay", self.weight_decay, 0)
        between("optim.beta1", self.beta1, 0, 0.99999)
        between("optim.beta2", self.beta2, 0, 0.99999)
        positive("optim.max_grad_norm", self.max_grad_norm)
        positive("optim.effective_batch_size", self.effective_batch_size)
        at_least("optim.loraplus_lr_ratio", self.loraplus_lr_ratio, 1)

    def _refuse_unread_warmup(self) -> None:
        if self.schedule != "constant":
            return
        ratio = 0 if self.warmup_ratio == WARMUP_RATIO else self.warmup_ratio
        for key, value in (("warmup_steps", self.warmup_steps), ("warmup_ratio", ratio)):
            if value:
                raise UserError(f"optim.{key}={value} does nothing with optim.schedule=constant: take constant_with_warmup, or leave it.")
