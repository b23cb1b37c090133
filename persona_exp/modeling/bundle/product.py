"""The low-rank products of all lanes on one projection's output, in ways that differ in speed and rounding alone.

`add_one_by_one` is what it means, and computes in the adapters' own precision. `add_slices` has its backward pass written out and computes
in the model's precision, as autocast would: where a CPU's model is in bfloat16, sums of float32 and bfloat16 take twenty times as long.
`add_padded` is two batched products over all lanes at once, the smaller ranks and shorter ranges filled with zeros. `wide.Wide` has the
ranks of all lanes side by side, for a GPU; `choice` says when.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

from persona_exp.modeling.bundle.adapter import Pair
from persona_exp.modeling.bundle.dropout import leave, leave_


@dataclass(frozen=True)
class Part:
    """The tokens `start` to `end` of a row are `pair`'s; `kept` [end − start, inputs] is what dropout leaves, as `dropout.kept` has it;
    what is left counts `grown` times. `row_kept` [tokens, inputs] is that of the whole row, where it was drawn in one."""

    pair: Pair
    start: int
    end: int
    kept: torch.Tensor | None = None
    grown: float = 1.0
    row_kept: torch.Tensor | None = None

    def inputs(self, x: torch.Tensor) -> torch.Tensor:
        """Its tokens of x [tokens, inputs], in the adapter's precision and after dropout."""
        own = x[self.start : self.end].to(self.pair.a.dtype)
        return own if self.kept is None else own * self.kept.ne(0) * self.grown


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
    where neither x nor y needs a gradient, as in a model's first layer.

    It keeps x, which projections of one input share, and a byte for each element that may be dropped, rather than what is left of x. All
    that is kept is kept by autograd, so that a layer that is computed again keeps none of it.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, y: torch.Tensor, anchor: torch.Tensor, parts: Sequence[Part]) -> torch.Tensor:
        lowered = []
        for part in parts:
            own = x[part.start : part.end]
            left = own if part.kept is None else leave(own, part.kept)
            low = left @ part.pair.a.to(x.dtype).T
            y[part.start : part.end].addmm_(low, part.pair.b.to(x.dtype).T, alpha=part.pair.scale * part.grown)
            lowered.append(low)
        # Not the parts themselves: they hold on to their masks.
        ctx.places = [(part.pair, slice(part.start, part.end), part.pair.scale * part.grown) for part in parts]
        ctx.save_for_backward(x, *lowered, *(part.kept for part in parts))
        ctx.mark_dirty(y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor, None, None]:
        x, *kept = ctx.saved_tensors
        lowered, masks = kept[: len(ctx.places)], kept[len(ctx.places) :]
        of_x = _zero_between(gradient.new_empty(x.shape), ctx.places) if ctx.needs_input_grad[0] else None
        for (pair, place, factor), low, mask in zip(ctx.places, lowered, masks, strict=True):
            own = gradient[place]
            left = x[place] if mask is None else leave(x[place], mask)
            of_low = (own @ pair.b.to(own.dtype)).mul_(factor)
            pair.b.grad.add_(own.T @ low, alpha=factor)
            pair.a.grad.add_(of_low.T @ left)
            if of_x is not None:
                back = torch.mm(of_low, pair.a.to(own.dtype), out=of_x[place])
                if mask is not None:
                    leave_(back, mask)
        return of_x, gradient, None, None


def _zero_between(of_x: torch.Tensor, places: Sequence[tuple[Pair, slice, float]]) -> torch.Tensor:
    """With zeros where no lane writes."""
    at = 0
    for _, place, _ in places:
        if place.start > at:
            of_x[at : place.start].zero_()
        at = place.stop
    if at < len(of_x):
        of_x[at:].zero_()
    return of_x
