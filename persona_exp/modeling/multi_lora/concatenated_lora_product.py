"""The low-rank products of all slots at once, their ranks side by side: 16 kernels a projection, where slices take 16 a slot.

A token has zeros in the columns of other slots, and all that is multiplied with these is finite. So a slot whose weights or states are not
finite leaves the bits of the others as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from persona_exp.modeling.multi_lora.flat_lora_adapter import LoraPair
from persona_exp.modeling.multi_lora.flat_parameters import CastWeights, cast_weights
from persona_exp.modeling.multi_lora.keyed_dropout import apply_mask, apply_mask_
from persona_exp.modeling.multi_lora.lora_product import Segment

# A row has as many layouts as its slots target different sets of modules.
LAYOUTS = 8
# For NaN, inf and -inf.
ZEROS = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Pack:
    """A [ranks, inputs] and the transpose of factor·B [ranks, outputs] of several slots, made of `casts`; `unsound` [ranks] is NaN for a
    slot whose weights are not all finite, else 0."""

    casts: Sequence[CastWeights]
    a: torch.Tensor
    b: torch.Tensor
    unsound: torch.Tensor


@dataclass(frozen=True)
class Layout:
    """Where slots are in a row: `foreign` [tokens, ranks] but in the columns of a token's own slot; `factors` [ranks] of the slots."""

    foreign: torch.Tensor
    factors: torch.Tensor


class ConcatenatedProduct:
    """A `Product` as `add_one_by_one`, up to the order of sums, in the model's precision; y is overwritten. Weights that
    were put side by side are kept until they are written to or other slots are in a row, layouts for the next rows like them."""

    def __init__(self) -> None:
        self._packs: dict[str, Pack] = {}
        self._layouts: dict[tuple[object, ...], Layout] = {}
        # Of the slots of the last projection, most often those of the next one too.
        self._unsound: tuple[Sequence[CastWeights], torch.Tensor] | None = None

    def __call__(self, x: torch.Tensor, y: torch.Tensor, segments: Sequence[Segment]) -> torch.Tensor:
        pack, layout = self._pack(x, segments), self._layout(x, segments)
        added: torch.Tensor = _Concatenated.apply(x, y, segments[0].pair.a, segments, pack, layout)  # type: ignore[no-untyped-call]
        return added

    def forget(self) -> None:
        """Drop all weights that are kept."""
        self._packs.clear()
        self._unsound = None

    def _pack(self, x: torch.Tensor, segments: Sequence[Segment]) -> Pack:
        own = cast_weights([segment.pair.flat for segment in segments], x.dtype, [segment.factor for segment in segments])
        pack = self._packs.get(segments[0].pair.module)
        if pack is None or pack.casts != own:
            if self._unsound is None or self._unsound[0] != own:
                self._unsound = own, _unsound(own, segments)
            pack = self._packs[segments[0].pair.module] = _packed(own, segments, self._unsound[1])
        return pack

    def _layout(self, x: torch.Tensor, segments: Sequence[Segment]) -> Layout:
        key = (len(x), *((segment.start, segment.end, len(segment.pair.a), segment.factor) for segment in segments))
        if key not in self._layouts:
            if len(self._layouts) == LAYOUTS:
                del self._layouts[next(iter(self._layouts))]
            self._layouts[key] = _laid_out(x, segments)
        return self._layouts[key]


# Made in an evaluation, either may be needed by a backward pass.
@torch.inference_mode(False)
def _packed(of: Sequence[CastWeights], segments: Sequence[Segment], unsound: torch.Tensor) -> Pack:
    sides = [segment.pair.sides(cast) for segment, cast in zip(segments, of, strict=True)]
    return Pack(of, torch.cat([a for a, _ in sides]), torch.cat([b for _, b in sides]), unsound)


@torch.inference_mode(False)
def _unsound(of: Sequence[CastWeights], segments: Sequence[Segment]) -> torch.Tensor:
    return torch.cat([cast.unsound.expand(len(segment.pair.a)) for segment, cast in zip(segments, of, strict=True)])


@torch.inference_mode(False)
def _laid_out(x: torch.Tensor, segments: Sequence[Segment]) -> Layout:
    foreign = torch.ones((len(x), sum(len(segment.pair.a) for segment in segments)), dtype=torch.bool, device=x.device)
    factors = torch.empty(foreign.shape[1], dtype=segments[0].pair.a.dtype, device=x.device)
    at = 0
    for segment in segments:
        end = at + len(segment.pair.a)
        foreign[segment.start : segment.end, at:end] = False
        factors[at:end] = segment.factor
        at = end
    return Layout(foreign, factors)


class _Concatenated(torch.autograd.Function):
    """Adds into y, and in the backward pass into the pairs' gradients; for what it keeps, and for the pair's A, see
    lora_product._Slices."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, y: torch.Tensor, anchor: torch.Tensor, segments: Sequence[Segment], pack: Pack, layout: Layout
    ) -> torch.Tensor:
        mask = _whole_mask(x, segments)
        left = x if mask is None else apply_mask(x, mask)
        # A slot that is not sound finds NaN in its own columns, and so in all that it computes.
        low = torch.addmm(pack.unsound, left, pack.a.T).masked_fill_(layout.foreign, 0)
        y.addmm_(low, pack.b)
        ctx.pairs = [segment.pair for segment in segments]
        ctx.save_for_backward(x, low, mask, pack.a, pack.b, layout.foreign, layout.factors)
        ctx.mark_dirty(y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor, None, None, None, None]:
        x, low, mask, a, b, foreign, factors = ctx.saved_tensors
        of_low = (gradient @ b.T).masked_fill_(foreign, 0)
        # Two sums over the tokens of all slots. A slot that computed what is not finite finds that in its own columns even so.
        left = x.nan_to_num(*ZEROS) if mask is None else apply_mask(x, mask).nan_to_num_(*ZEROS)
        _add(ctx.pairs, of_low.T @ left, (low.T @ gradient.nan_to_num(*ZEROS)) * factors[:, None])
        if not ctx.needs_input_grad[0]:
            return None, gradient, None, None, None, None
        of_x = of_low @ a
        if mask is not None:
            apply_mask_(of_x, mask)
        return of_x, gradient, None, None, None, None


def _whole_mask(x: torch.Tensor, segments: Sequence[Segment]) -> torch.Tensor | None:
    """Return the dropout mask of the whole row: as it was drawn, else put together of the segments'."""
    drawn = next((segment.row_mask for segment in segments if segment.row_mask is not None), None)
    if drawn is not None or all(segment.mask is None for segment in segments):
        return drawn
    mask = torch.full(x.shape, -1, dtype=torch.int8, device=x.device)
    for segment in segments:
        if segment.mask is not None:
            mask[segment.start : segment.end] = segment.mask
    return mask


def _add(pairs: Sequence[LoraPair], of_a: torch.Tensor, of_b: torch.Tensor) -> None:
    """Add of_a [ranks, inputs] and of_b [ranks, outputs] to the gradients of `pairs`."""
    ranks = [len(pair.a) for pair in pairs]
    # In one precision and contiguous, all are one kernel.
    own = [*(_gradient(pair.a) for pair in pairs), *(_gradient(pair.b).T for pair in pairs)]
    torch._foreach_add_(own, [*of_a.to(pairs[0].a.dtype).split_with_sizes(ranks), *of_b.split_with_sizes(ranks)])


def _gradient(of: torch.Tensor) -> torch.Tensor:
    assert of.grad is not None
    return of.grad
