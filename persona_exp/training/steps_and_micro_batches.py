"""How many optimiser steps a training has, of how many micro-batches and examples."""

import math
from dataclasses import dataclass

from persona_exp.errors import UserError


@dataclass(frozen=True)
class StepPlan:
    """Optimiser steps in all, warm-up among them; examples a forward pass, and passes a step."""

    max_steps: int
    warmup_steps: int
    micro_batch_size: int
    accumulation_steps: int


def plan_steps(
    *,
    examples: int,
    epochs: float,
    max_steps: int | None,
    effective_batch_size: int,
    micro_batch_size: int,
    warmup_ratio: float,
    warmup_steps: int | None = None,
    lr_schedule: str = "cosine",
) -> StepPlan:
    """Return the plan of a run, known in full before its first step, so that a resumed run follows the same one.

    The micro-batch is the largest divisor of `effective_batch_size` that is not above `micro_batch_size`. `warmup_steps` takes the place of
    `warmup_ratio`, the part of all steps, rounded up, of which the last step is never one. Raise UserError where it is not below the number
    of steps.
    """
    micro = max(size for size in range(1, min(micro_batch_size, effective_batch_size) + 1) if effective_batch_size % size == 0)
    steps = max_steps or math.ceil(epochs * math.ceil(examples / effective_batch_size))
    if lr_schedule == "constant":
        warmup = 0
    elif warmup_steps is None:
        warmup = min(math.ceil(warmup_ratio * steps), steps - 1)
    else:
        warmup = warmup_steps
        if warmup >= steps:
            raise UserError(f"optim.warmup_steps={warmup} is not below the {steps} steps of this training: lower it, or train longer.")
    return StepPlan(max_steps=steps, warmup_steps=warmup, micro_batch_size=micro, accumulation_steps=effective_batch_size // micro)
