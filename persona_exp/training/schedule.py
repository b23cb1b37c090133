"""How many steps, and how many examples each."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Optimiser steps in all, of those warm-up; examples a forward pass, and passes a step."""

    max_steps: int
    warmup_steps: int
    micro_batch_size: int
    accumulation_steps: int


def plan(
    *, examples: int, epochs: float, max_steps: int | None, effective_batch_size: int, micro_batch_size: int, warmup_ratio: float
) -> Schedule:
    """The schedule of a run, known in full before its first step, so that a resumed run follows the same one.

    The micro-batch is the largest divisor of `effective_batch_size` that is not above `micro_batch_size`.
    """
    micro = max(size for size in range(1, min(micro_batch_size, effective_batch_size) + 1) if effective_batch_size % size == 0)
    steps = max_steps or math.ceil(epochs * math.ceil(examples / effective_batch_size))
    return Schedule(
        max_steps=steps,
        warmup_steps=math.ceil(warmup_ratio * steps),
        micro_batch_size=micro,
        accumulation_steps=effective_batch_size // micro,
    )
