"""A trial's hyperparameters, as far as an engine reads them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LoraSettings:
    """LoRA of rank `r` and scale `alpha` (over r, or its root with `rslora`) on `target_modules`."""

    r: int
    alpha: float
    dropout: float
    rslora: bool
    target_modules: tuple[str, ...]


@dataclass(frozen=True)
class OptimizerSettings:
    """AdamW, by transformers' `name` for its kind, and the learning rate's schedule.

    `loraplus_lr_ratio` is how many times A's learning rate B gets (LoRA+, Hayou et al. 2024, arXiv:2402.12354); 1 is LoRA as it was.
    """

    name: str
    lr: float
    lr_schedule: str
    weight_decay: float
    beta1: float
    beta2: float
    max_grad_norm: float
    loraplus_lr_ratio: float = 1.0


@dataclass(frozen=True)
class Hyperparameters:
    """`max_steps` optimiser steps, the first `warmup_steps` of them at a rising rate; `effective_batch_size` examples a step.

    With `stop_at_step` no step after that is taken.
    """

    seed: int
    lora: LoraSettings
    optimizer: OptimizerSettings
    max_steps: int
    warmup_steps: int
    effective_batch_size: int
    stop_at_step: int | None = None

    @property
    def last_step(self) -> int:
        """The step after which training ends."""
        return self.stop_at_step or self.max_steps
