"""Config group `optim`: the optimiser and its schedule."""

from dataclasses import dataclass

from persona_exp.config.range_checks import at_least, between, one_of, positive
from persona_exp.errors import UserError

# What conf/optim has: where a schedule has no warm-up, anything else was asked for.
WARMUP_RATIO = 0.05


@dataclass
class Optim:
    """AdamW and its schedule."""

    name: str = "adamw_torch"
    """The optimiser: AdamW with its state in 32 bits, in 8 bits, or paged to the host's memory."""
    lr: float = 2e-4
    """The highest learning rate."""
    schedule: str = "cosine"
    """How the rate falls after the warm-up; `constant` has no warm-up."""
    warmup_ratio: float = WARMUP_RATIO
    """The share of the steps in which the rate rises, where `optim.warmup_steps` is null."""
    warmup_steps: int | None = None
    """The number of steps in which the rate rises."""
    weight_decay: float = 0.0
    """AdamW's weight decay."""
    beta1: float = 0.9
    """AdamW's decay of the mean of gradients."""
    beta2: float = 0.999
    """AdamW's decay of the mean of squared gradients."""
    max_grad_norm: float = 1.0
    """A longer gradient is scaled down to this length."""
    effective_batch_size: int = 8
    """How many examples an optimiser step takes, whatever the micro-batch."""
    loraplus_lr_ratio: float = 1.0
    """How many times A's rate an adapter's B gets (LoRA+, arXiv:2402.12354); 1 is LoRA as it was."""

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
