"""An adapter's weights in two flat tensors, one of all A and one of all B, with gradients, and their casts to a model's precision."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, eq=False)
class CastWeights:
    """A and factor·B in a model's precision. What is not finite stands as 0, and `unsound` [1], else 0, is NaN then: on the device, so
    that the host need not wait for it. Equal to itself alone."""

    a: torch.Tensor
    b: torch.Tensor
    unsound: torch.Tensor


class FlatParameters:
    """`a` and `b`, each with a gradient that is never freed."""

    def __init__(self, a: int, b: int, dtype: torch.dtype, device: "torch.device | str") -> None:
        self.a, self.b = (_parameter(numel, dtype, device) for numel in (a, b))
        self.latest: tuple[tuple[object, ...], CastWeights] | None = None

    def key(self, dtype: torch.dtype, factor: float) -> tuple[object, ...]:
        """Return the key of a cast to `dtype` with `factor`: another one once the weights are written to."""
        return self.a._version, self.b._version, dtype, factor

    def mark_written(self) -> None:
        """Drop the casts: the weights may have been written to unseen, as bitsandbytes does by their addresses."""
        for one in (self.a, self.b):
            torch.autograd.graph.increment_version(one)


def cast_weights(flats: Sequence[FlatParameters], dtype: torch.dtype, factors: Sequence[float]) -> list[CastWeights]:
    """Return a cast of each of `flats` with its factor: the same objects until the weights are written to. New ones are made together."""
    keys = [flat.key(dtype, factor) for flat, factor in zip(flats, factors, strict=True)]
    stale = [at for at, flat in enumerate(flats) if flat.latest is None or flat.latest[0] != keys[at]]
    if stale:
        for at, made in zip(stale, _cast([flats[at] for at in stale], dtype, [factors[at] for at in stale]), strict=True):
            flats[at].latest = keys[at], made
    return [flat.latest[1] for flat in flats if flat.latest]


def view(flat: torch.nn.Parameter, start: int, shape: tuple[int, int]) -> torch.nn.Parameter:
    """Return a parameter that shares the memory of `flat` from `start`; its gradient shares that of `flat`'s."""
    assert flat.grad is not None
    end = start + shape[0] * shape[1]
    parameter = torch.nn.Parameter(flat.detach()[start:end].view(shape))
    parameter.grad = flat.grad[start:end].view(shape)
    return parameter


def transposed(parameter: torch.nn.Parameter) -> torch.nn.Parameter:
    """Return its transpose, which shares its memory; so do their gradients."""
    assert parameter.grad is not None
    turned = torch.nn.Parameter(parameter.detach().T)
    turned.grad = parameter.grad.T
    return turned


# Made in an evaluation, a cast may be needed by a backward pass.
@torch.inference_mode(False)
@torch.no_grad()
def _cast(flats: Sequence[FlatParameters], dtype: torch.dtype, factors: Sequence[float]) -> list[CastWeights]:
    exact = [*(flat.a for flat in flats), *torch._foreach_mul([flat.b for flat in flats], factors)]
    whole = torch.empty(sum(one.numel() for one in exact), dtype=dtype, device=exact[0].device)
    made = whole.split_with_sizes([one.numel() for one in exact])
    torch._foreach_copy_(made, exact)
    largest = torch.stack(torch._foreach_norm(made, math.inf)).view(2, -1).amax(dim=0)
    # Zero, but NaN for what is not finite.
    unsound = (largest * 0).split_with_sizes([1] * len(flats))
    whole.nan_to_num_(0.0, 0.0, 0.0)
    return [CastWeights(a, b, one) for a, b, one in zip(made[: len(flats)], made[len(flats) :], unsound, strict=True)]


def _parameter(numel: int, dtype: torch.dtype, device: "torch.device | str") -> torch.nn.Parameter:
    parameter = torch.nn.Parameter(torch.zeros(numel, dtype=dtype, device=device))
    parameter.grad = torch.zeros_like(parameter)
    return parameter
