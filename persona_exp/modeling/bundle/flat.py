"""One adapter's weights: all A in one tensor and all B in another, as they are trained and as a model computes with them."""

import math
from dataclasses import dataclass

import torch


@dataclass(frozen=True, eq=False)
class Cast:
    """A and factor·B in a model's precision. Where some are not finite these stand as 0, and `sound` is False. Equal to itself alone."""

    a: torch.Tensor
    b: torch.Tensor
    sound: bool


class Flat:
    """`a` and `b`, each with its gradient allocated for good."""

    def __init__(self, a: int, b: int, dtype: torch.dtype, device: "torch.device | str") -> None:
        self.a, self.b = (_parameter(numel, dtype, device) for numel in (a, b))
        self._cast: tuple[tuple[object, ...], Cast] | None = None

    def cast(self, dtype: torch.dtype, factor: float) -> Cast:
        """The same object until they are written to. The first time it waits for the device."""
        key = (self.a._version, self.b._version, dtype, factor)
        if self._cast is None or self._cast[0] != key:
            self._cast = key, _cast(self.a.detach(), self.b.detach(), dtype, factor)
        return self._cast[1]

    def written(self) -> None:
        """Someone may have written to them unseen: bitsandbytes does, by their addresses."""
        for one in (self.a, self.b):
            torch.autograd.graph.increment_version(one)


def view(flat: torch.nn.Parameter, start: int, shape: tuple[int, int]) -> torch.nn.Parameter:
    """A parameter of its own that shares the memory of `flat`, and its gradient that of `flat`'s."""
    assert flat.grad is not None
    end = start + shape[0] * shape[1]
    parameter = torch.nn.Parameter(flat.detach()[start:end].view(shape))
    parameter.grad = flat.grad[start:end].view(shape)
    return parameter


# Made for a measurement, it may be wanted by a backward pass.
@torch.inference_mode(False)
def _cast(a: torch.Tensor, b: torch.Tensor, dtype: torch.dtype, factor: float) -> Cast:
    a, b = a.to(dtype), (b * factor).to(dtype)
    largest = torch.maximum(*(torch.linalg.vector_norm(one, math.inf) for one in (a, b)))
    if math.isfinite(float(largest)):
        return Cast(a, b, True)
    return Cast(a.nan_to_num(0.0, 0.0, 0.0), b.nan_to_num(0.0, 0.0, 0.0), False)


def _parameter(numel: int, dtype: torch.dtype, device: "torch.device | str") -> torch.nn.Parameter:
    parameter = torch.nn.Parameter(torch.zeros(numel, dtype=dtype, device=device))
    parameter.grad = torch.zeros_like(parameter)
    return parameter
