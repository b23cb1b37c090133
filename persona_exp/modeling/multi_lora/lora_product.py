"""The low-rank products of all slots on one projection's output, in ways that differ in speed and rounding alone.

`add_one_by_one` is the definition, and computes in the adapters' own precision. `add_slices` has its backward pass written out and computes
in the model's precision, as autocast would: where a CPU's model is in bfloat16, sums of float32 and bfloat16 take twenty times as long.
`add_padded` is two batched products over all slots at once, the smaller ranks and shorter ranges filled with zeros.
`ConcatenatedProduct` has the ranks of all slots side by side, for a GPU; `SelectedProduct` says when.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

from persona_exp.modeling.multi_lora.flat_lora_adapter import LoraPair
from persona_exp.modeling.multi_lora.keyed_dropout import apply_mask, apply_mask_


@dataclass(frozen=True)
class Segment:
    """The tokens `start` to `end` of a row, which are `pair`'s; `mask` [end − start, inputs] is what dropout keeps, as of `keyed_mask`, and
    what is kept counts `dropout_scale` times. `row_mask` [tokens, inputs] is that of the whole row, where it was drawn in one."""

    pair: LoraPair
    start: int
    end: int
    mask: torch.Tensor | None = None
    dropout_scale: float = 1.0
    row_mask: torch.Tensor | None = None

    @property
    def factor(self) -> float:
        """What the product of inputs, A and B is multiplied with."""
        return self.pair.scale * self.dropout_scale

    def inputs(self, x: torch.Tensor) -> torch.Tensor:
        """Return its tokens of x [tokens, inputs], in the adapter's precision and after dropout."""
        own = x[self.start : self.end].to(self.pair.a.dtype)
        return own if self.mask is None else own * self.mask.ne(0) * self.dropout_scale


# x [tokens, inputs], y [tokens, outputs], segments in the row's order → y plus each segment's product.
Product = Callable[[torch.Tensor, torch.Tensor, Sequence[Segment]], torch.Tensor]


def add_one_by_one(x: torch.Tensor, y: torch.Tensor, segments: Sequence[Segment]) -> torch.Tensor:
    """Return y + scale·(x A ᵀ) Bᵀ for each segment's tokens, added in the adapter's precision and rounded once to y's."""
    pieces, at = [], 0
    for segment in segments:
        delta = segment.pair.scale * (segment.inputs(x) @ segment.pair.a.T @ segment.pair.b.T)
        pieces += [y[at : segment.start], (y[segment.start : segment.end].to(delta.dtype) + delta).to(y.dtype)]
        at = segment.end
    return torch.cat([*pieces, y[at:]])


def add_slices(x: torch.Tensor, y: torch.Tensor, segments: Sequence[Segment]) -> torch.Tensor:
    """Return the same as `add_one_by_one`; y is overwritten."""
    summed: torch.Tensor = _Slices.apply(x, y, segments[0].pair.a, segments)  # type: ignore[no-untyped-call]
    return summed


def add_padded(x: torch.Tensor, y: torch.Tensor, segments: Sequence[Segment]) -> torch.Tensor:
    """Return the same as `add_one_by_one`, up to the order of sums."""
    rank = max(len(segment.pair.a) for segment in segments)
    inputs = pad_sequence([segment.inputs(x) for segment in segments], batch_first=True)
    a = torch.stack([pad(segment.pair.a, (0, 0, 0, rank - len(segment.pair.a))) for segment in segments])
    b = torch.stack([pad(segment.pair.b * segment.pair.scale, (0, rank - len(segment.pair.a))) for segment in segments])
    deltas = inputs @ a.transpose(1, 2) @ b.transpose(1, 2)
    pieces, at = [], 0
    for segment, delta in zip(segments, deltas, strict=True):
        own = delta[: segment.end - segment.start]
        pieces += [y[at : segment.start], (y[segment.start : segment.end].to(own.dtype) + own).to(y.dtype)]
        at = segment.end
    return torch.cat([*pieces, y[at:]])


class _Slices(torch.autograd.Function):
    """Adds into y, and in the backward pass into the pairs' own gradients. One pair's A is an input so that autograd asks for that pass
    where neither x nor y needs a gradient, as in a model's first layer.

    It keeps x, which projections of one input share, and a byte for each element that may be dropped, rather than what is left of x.
    All that is kept is kept by autograd, so that a layer that is computed again keeps none of it.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, y: torch.Tensor, anchor: torch.Tensor, segments: Sequence[Segment]) -> torch.Tensor:
        lowered = []
        for segment in segments:
            own = x[segment.start : segment.end]
            left = own if segment.mask is None else apply_mask(own, segment.mask)
            low = left @ segment.pair.a.to(x.dtype).T
            y[segment.start : segment.end].addmm_(low, segment.pair.b.to(x.dtype).T, alpha=segment.factor)
            lowered.append(low)
        # Not the segments themselves: they hold on to their masks.
        ctx.places = [(segment.pair, slice(segment.start, segment.end), segment.factor) for segment in segments]
        ctx.save_for_backward(x, *lowered, *(segment.mask for segment in segments))
        ctx.mark_dirty(y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor, None, None]:
        x, *kept = ctx.saved_tensors
        lowered, masks = kept[: len(ctx.places)], kept[len(ctx.places) :]
        of_x = _zero_elsewhere(gradient.new_empty(x.shape), ctx.places) if ctx.needs_input_grad[0] else None
        for (pair, place, factor), low, mask in zip(ctx.places, lowered, masks, strict=True):
            own = gradient[place]
            left = x[place] if mask is None else apply_mask(x[place], mask)
            of_low = (own @ pair.b.to(own.dtype)).mul_(factor)
            pair.b.grad.T.add_(low.T @ own, alpha=factor)
            pair.a.grad.add_(of_low.T @ left)
            if of_x is not None:
                back = torch.mm(of_low, pair.a.to(own.dtype), out=of_x[place])
                if mask is not None:
                    apply_mask_(back, mask)
        return of_x, gradient, None, None


def _zero_elsewhere(of_x: torch.Tensor, places: Sequence[tuple[LoraPair, slice, float]]) -> torch.Tensor:
    """Fill of_x with zeros where no slot writes."""
    at = 0
    for _, place, _ in places:
        if place.start > at:
            of_x[at : place.start].zero_()
        at = place.stop
    if at < len(of_x):
        of_x[at:].zero_()
    return of_x
