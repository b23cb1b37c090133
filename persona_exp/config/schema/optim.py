"""Config group `optim`: the optimiser and its schedule."""

from dataclasses import dataclass

from persona_exp.config.checks import at_least, between, one_of, positive


@dataclass
class Optim:
    """AdamW and its schedule. `effective_batch_size` counts examples a step, whatever the micro-batch.

    `loraplus_lr_ratio` is how many times A's rate, which is `lr`, an adapter's B gets (LoRA+, Hayou et al. 2024, arXiv:2402.12354, where
    16 is recommended beside a smaller `lr`); 1 is LoRA as it was. Where the method has no adapter it is not read.
    """

    name: str = "adamw_torch"
    lr: float = 2e-4
    schedule: str = "cosine"
    warmup_ratio: float = 0.05
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
        at_least("optim.weight_decay", self.weight_decay, 0)
        between("optim.beta1", self.beta1, 0, 0.99999)
        between("optim.beta2", self.beta2, 0, 0.99999)
        positive("optim.max_grad_norm", self.max_grad_norm)
        positive("optim.effective_batch_size", self.effective_batch_size)
        at_least("optim.loraplus_lr_ratio", self.loraplus_lr_ratio, 1)
