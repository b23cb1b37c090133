"""The low-rank products of all lanes at once, their ranks side by side: some twenty kernels a projection, where slices take 16 a lane.

A token has zeros in the columns of other lanes, and whatever is multiplied with these is finite. So a lane whose weights or states are not
finite leaves the bits of the others as they are.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from persona_exp.modeling.bundle.adapter import Pair
from persona_exp.modeling.bundle.dropout import leave, leave_
from persona_exp.modeling.bundle.flat import Cast
from persona_exp.modeling.bundle.product import Part

# A row has as many layouts as its lanes target different sets of modules.
LAYOUTS = 8
# For NaN, inf and -inf.
ZEROS = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Pack:
    """A [ranks, inputs] and factor·B [outputs, ranks] of several lanes, of these casts."""

    casts: Sequence[Cast]
    a: torch.Tensor
    b: torch.Tensor


@dataclass(frozen=True)
class Layout:
    """Where lanes stand in a row: `foreign` [tokens, ranks] but in the columns of a token's own lane; `factors` [ranks] of the lanes."""

    foreign: torch.Tensor
    factors: torch.Tensor


class Wide:
    """A `Product` as `add_one_by_one`, up to the order of sums, in the model's precision; y is overwritten. What it has put side by side
    it keeps: weights until they are written to or other lanes stand in a row, layouts for the next ones alike."""

    def __init__(self) -> None:
        self._packs: dict[str, Pack] = {}
        self._layouts: dict[tuple[object, ...], Layout] = {}

    def __call__(self, x: torch.Tensor, y: torch.Tensor, parts: Sequence[Part]) -> torch.Tensor:
        pack, layout = self._pack(x, parts), self._layout(x, parts)
        added: torch.Tensor = _Wide.apply(x, y, parts[0].pair.a, parts, pack, layout)  # type: ignore[no-untyped-call]
        return added

    def forget(self) -> None:
        """Keep no lane's weights any longer."""
        self._packs.clear()

    def _pack(self, x: torch.Tensor, parts: Sequence[Part]) -> Pack:
        casts = [part.pair.cast(x.dtype, part.grown) for part in parts]
        pack = self._packs.get(parts[0].pair.module)
        if pack is None or pack.casts != casts:
            pack = self._packs[parts[0].pair.module] = _packed(casts, parts)
        return pack

    def _layout(self, x: torch.Tensor, parts: Sequence[Part]) -> Layout:
        key = (len(x), *((part.start, part.end, len(part.pair.a), part.pair.scale * part.grown) for part in parts))
        if key not in self._layouts:
            if len(self._layouts) == LAYOUTS:
                del self._layouts[next(iter(self._layouts))]
            self._layouts[key] = _laid_out(x, parts)
        return self._layouts[key]


# Made for a measurement, either may be wanted by a backward pass.
@torch.inference_mode(False)
def _packed(casts: Sequence[Cast], parts: Sequence[Part]) -> Pack:
    sides = [part.pair.sides(cast) for part, cast in zip(parts, casts, strict=True)]
    return Pack(casts, torch.cat([a for a, _ in sides]), torch.cat([b for _, b in sides], dim=1))


@torch.inference_mode(False)
def _laid_out(x: torch.Tensor, parts: Sequence[Part]) -> Layout:
    foreign = torch.ones((len(x), sum(len(part.pair.a) for part in parts)), dtype=torch.bool, device=x.device)
    factors = torch.empty(foreign.shape[1], dtype=parts[0].pair.a.dtype, device=x.device)
    at = 0
    for part in parts:
        end = at + len(part.pair.a)
        foreign[part.start : part.end, at:end] = False
        factors[at:end] = part.pair.scale * part.grown
        at = end
    return Layout(foreign, factors)


class _Wide(torch.autograd.Function):
    """Adds into y, and in the backward pass into the pairs' own gradients; of what it keeps, and of the pair's A, see product._Slices."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, y: torch.Tensor, anchor: torch.Tensor, parts: Sequence[Part], pack: Pack, layout: Layout
    ) -> torch.Tensor:
        mask = _row_kept(x, parts)
        left = x if mask is None else leave(x, mask)
        low = (left @ pack.a.T).masked_fill_(layout.foreign, 0)
        y.addmm_(low, pack.b.T)
        for part, cast in zip(parts, pack.casts, strict=True):
            if not cast.sound:
                y[part.start : part.end] = math.nan
        ctx.pairs = [part.pair for part in parts]
        ctx.save_for_backward(x, low, mask, pack.a, pack.b, layout.foreign, layout.factors)
        ctx.mark_dirty(y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor, None, None, None, None]:
        x, low, mask, a, b, foreign, factors = ctx.saved_tensors
        of_low = (gradient @ b).masked_fill_(foreign, 0)
        # Two sums over the tokens of all lanes. Who computed what is not finite finds that in its own columns even so.
        left = x.nan_to_num(*ZEROS) if mask is None else leave(x, mask).nan_to_num_(*ZEROS)
        _add(ctx.pairs, of_low.T @ left, (gradient.nan_to_num(*ZEROS).T @ low) * factors)
        if not ctx.needs_input_grad[0]:
            return None, gradient, None, None, None, None
        of_x = of_low @ a
        if mask is not None:
            leave_(of_x, mask)
        return of_x, gradient, None, None, None, None


def _row_kept(x: torch.Tensor, parts: Sequence[Part]) -> torch.Tensor | None:
    """What dropout leaves of the whole row: as it was drawn, else put together."""
    drawn = next((part.row_kept for part in parts if part.row_kept is not None), None)
    if drawn is not None or all(part.kept is None for part in parts):
        return drawn
    mask = torch.full(x.shape, -1, dtype=torch.int8, device=x.device)
    for part in parts:
        if part.kept is not None:
            mask[part.start : part.end] = part.kept
    return mask


def _add(pairs: Sequence[Pair], of_a: torch.Tensor, of_b: torch.Tensor) -> None:
    """To the gradients; of_a [ranks, inputs], of_b [outputs, ranks]."""
    ranks = [len(pair.a) for pair in pairs]
    # In one precision and contiguous, those of A are one kernel; those of B, which are not, one each.
    torch._foreach_add_([_gradient(pair.a) for pair in pairs], of_a.to(pairs[0].a.dtype).split_with_sizes(ranks))
    torch._foreach_add_([_gradient(pair.b) for pair in pairs], of_b.split_with_sizes(ranks, dim=1))


def _gradient(of: torch.Tensor) -> torch.Tensor:
    assert of.grad is not None
    return of.grad
