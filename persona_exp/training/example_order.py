"""The order of examples: which ones a step sees, by the seed and the step alone, so that there is no cursor to lose."""

import hashlib
import math

import torch


def examples_of_step(step: int, *, examples: int, effective_batch_size: int, seed: int) -> list[int]:
    """Return the numbers of the examples of optimiser step `step` (from 0). Each epoch is another permutation; its last step
    may be short."""
    steps = math.ceil(examples / effective_batch_size)
    epoch, place = divmod(step, steps)
    return _epoch(examples, seed, epoch)[place * effective_batch_size : (place + 1) * effective_batch_size]


def _epoch(examples: int, seed: int, epoch: int) -> list[int]:
    key = hashlib.sha256(f"{seed}:epoch {epoch}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(key[:4], "big"))
    return list(torch.randperm(examples, generator=generator).tolist())
