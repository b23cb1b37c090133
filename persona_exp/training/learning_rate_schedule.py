"""The learning rate of each optimiser step: warm-up, then cosine, linear or constant."""

import math
from functools import partial
from typing import TYPE_CHECKING

from persona_exp.errors import UserError

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LambdaLR

# A smaller rate is 0 in float32, which weights and their steps are held in, and a larger one overflows it.
SMALLEST, LARGEST = 2.0**-149, 2.0**127


def learning_rate_factor(step: int, *, lr_schedule: str, warmup_steps: int, max_steps: int) -> float:
    """Return the part of the learning rate that optimiser step `step` (from 0) of `max_steps` is taken with.

    Of w warm-up steps, step i has (i + 1) / (w + 1), so that none is 0, where transformers' `get_scheduler` has i / w. Behind them it is
    as there: with p = (i - w) / (max_steps - w), `cosine` has (1 + cos πp) / 2 (Loshchilov & Hutter 2017, arXiv:1608.03983, without
    restarts), `linear` 1 - p, and `constant` and `constant_with_warmup` 1. `constant` has no warm-up.
    """
    if lr_schedule == "constant":
        return 1.0
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    done = min(1.0, (step - warmup_steps) / max(1, max_steps - warmup_steps))
    if lr_schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done))
    if lr_schedule == "linear":
        return 1 - done
    if lr_schedule == "constant_with_warmup":
        return 1.0
    raise ValueError(f"There is no schedule {lr_schedule}.")


def learning_rate_scheduler(optimizer: "Optimizer", *, lr_schedule: str, warmup_steps: int, max_steps: int) -> "LambdaLR":
    """Return `learning_rate_factor` as the scheduler of `optimizer`, each of whose groups has a rate of its own. Raise UserError where
    float32 does not hold the rate, or holds it for 0 in all steps, which would move no weight."""
    from torch.optim.lr_scheduler import LambdaLR

    part = partial(learning_rate_factor, lr_schedule=lr_schedule, warmup_steps=warmup_steps, max_steps=max_steps)
    lr = max(float(group["lr"]) for group in optimizer.param_groups)
    if all(lr * part(step) < SMALLEST for step in range(max_steps)):
        raise UserError(f"optim.lr={lr:g} with optim.schedule={lr_schedule} is 0 in all {max_steps} steps: raise optim.lr.")
    # Adam's first step is the rate over 1 - beta1.
    if any(float(group["lr"]) / (1 - group.get("betas", (0.0,))[0]) > LARGEST for group in optimizer.param_groups):
        raise UserError(f"optim.lr={lr:g} is more than float32 holds: lower optim.lr.")
    return LambdaLR(optimizer, part)
