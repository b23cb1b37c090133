"""What a trial asks of its training, as far as the fused engine reads it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """`max_steps` optimiser steps, the first `warmup_steps` of them at a rising rate; `effective_batch_size` examples a step.

    `loraplus_lr_ratio` is how many times A's learning rate B gets (LoRA+, Hayou et al. 2024, arXiv:2402.12354); 1 is LoRA as it was.
    """

    seed: int
    r: int
    alpha: float
    dropout: float
    rslora: bool
    target_modules: tuple[str, ...]
    optimizer: str
    lr: float
    lr_schedule: str
    weight_decay: float
    beta1: float
    beta2: float
    max_grad_norm: float
    max_steps: int
    warmup_steps: int
    effective_batch_size: int
    loraplus_lr_ratio: float = 1.0
