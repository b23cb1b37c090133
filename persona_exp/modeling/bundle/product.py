"""The low-rank products of all lanes on one projection's output, in three ways that differ in speed alone.

`add_one_by_one` is what it means; `add_slices` is the same with a backward pass written out, which keeps a CPU busy with products and not
with bookkeeping; `add_padded` is two batched products over all lanes at once, the smaller ranks and shorter ranges filled with zeros.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

from persona_exp.modeling.bundle.adapter import Pair


@dataclass(frozen=True)
class Part:
    """The tokens `start` to `end` of a row are `pair`'s; `kept` [end − start, inputs] is what dropout leaves, each times `grown`."""

    pair: Pair
    start: int
    end: int
    kept: torch.Tensor | None = None
    grown: float = 1.0

    def inputs(self, x: torch.Tensor) -> torch.Tensor:
        """Its tokens of x [tokens, inputs], in the adapter's precision and after dropout."""
        own = x[self.start : self.end].to(self.pair.a.dtype)
        return own if self.kept is None else own * self.kept * self.grown


# x [tokens, inputs], y [tokens, outputs], parts in the row's order → y plus each part's product.
Product = Callable[[torch.Tensor, torch.Tensor, Sequence[Part]], torch.Tensor]


def add_one_by_one(x: torch.Tensor, y: torch.Tensor, parts: Sequence[Part]) -> torch.Tensor:
    """y + scale·(x A ᵀ) Bᵀ for each part's tokens, added in the adapter's precision and rounded once to y's."""
    pieces, at = [], 0
    for part in parts:
        delta = part.pair.scale * (part.inputs(x) @ part.pair.a.T @ part.pair.b.T)
        pieces += [y[at : part.start], (y[part.start : part.end].to(delta.dtype) + delta).to(y.dtype)]
        at = part.end
    return torch.cat([*pieces, y[at:]])


def add_slices(x: torch.Tensor, y: torch.Tensor, parts: Sequence[Part]) -> torch.Tensor:
    """As `add_one_by_one`; y is overwritten."""
    summed: torch.Tensor = _Slices.apply(x, y, parts[0].pair.a, parts)  # type: ignore[no-untyped-call]
    return summed


def add_padded(x: torch.Tensor, y: torch.Tensor, parts: Sequence[Part]) -> torch.Tensor:
    """As `add_one_by_one`, up to the order of sums."""
    rank = max(len(part.pair.a) for part in parts)
    inputs = pad_sequence([part.inputs(x) for part in parts], batch_first=True)
    a = torch.stack([pad(part.pair.a, (0, 0, 0, rank - len(part.pair.a))) for part in parts])
    b = torch.stack([pad(part.pair.b * part.pair.scale, (0, rank - len(part.pair.a))) for part in parts])
    deltas = inputs @ a.transpose(1, 2) @ b.transpose(1, 2)
    pieces, at = [], 0
    for part, delta in zip(parts, deltas, strict=True):
        own = delta[: part.end - part.start]
        pieces += [y[at : part.start], (y[part.start : part.end].to(own.dtype) + own).to(y.dtype)]
        at = part.end
    return torch.cat([*pieces, y[at:]])


class _Slices(torch.autograd.Function):
    """Adds into y, and in the backward pass into the pairs' own gradients. One pair's A is an input so that autograd asks for that pass
    where neither x nor y needs a gradient, as in a model's first layer."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, y: torch.Tensor, anchor: torch.Tensor, parts: Sequence[Part]) -> torch.Tensor:
        lowered = []
        for part in parts:
            low = part.inputs(x) @ part.pair.a.T
            y[part.start : part.end] += (low @ part.pair.b.T).mul_(part.pair.scale)
            lowered.append(low)
        ctx.save_for_backward(x)
        ctx.parts, ctx.lowered = parts, lowered
        ctx.mark_dirty(y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor, None, None]:
        (x,) = ctx.saved_tensors
        of_x = torch.zeros_like(x) if ctx.needs_input_grad[0] else None
        for part, low in zip(ctx.parts, ctx.lowered, strict=True):
            pair = part.pair
            own = gradient[part.start : part.end].to(low.dtype) * pair.scale
            of_low = own @ pair.b
            pair.b.grad.addmm_(own.T, low)
            pair.a.grad.addmm_(of_low.T, part.inputs(x))
            if of_x is not None:
                back = of_low @ pair.a
                of_x[part.start : part.end] = back if part.kept is None else back.mul_(part.kept).mul_(part.grown)
        return of_x, gradient, None, None
