"""One trial's LoRA weights, held apart from the model that they adapt."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from persona_exp.modeling.adapter import BASE, initial_a


@dataclass(frozen=True)
class Pair:
    """A [r, inputs] and B [outputs, r] on one projection: ΔW = scale·B·A, the input dropped out with `dropout`.

    Both have their gradient allocated for good, and autograd or whoever computes it adds to that.
    """

    module: str
    a: torch.nn.Parameter
    b: torch.nn.Parameter
    scale: float
    dropout: float
    seed: int


class Adapter:
    """A pair for each of `shapes` (module name → inputs, outputs). All A lie in the flat `a`, all B in the flat `b`, their gradients alike:
    an optimiser has two tensors to go through instead of hundreds."""

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, int]],
        *,
        r: int,
        alpha: float,
        dropout: float,
        rslora: bool,
        seed: int,
        dtype: torch.dtype = torch.float32,
        device: "torch.device | str" = "cpu",
    ) -> None:
        self.r = r
        self.a, self.b = (_flat(sum(shape[side] for shape in shapes.values()) * r, dtype, device) for side in (0, 1))
        scale = alpha / (math.sqrt(r) if rslora else r)
        self.pairs: dict[str, Pair] = {}
        at_a = at_b = 0
        for name, (inputs, outputs) in shapes.items():
            a, b = _view(self.a, at_a, (r, inputs)), _view(self.b, at_b, (outputs, r))
            at_a, at_b = at_a + a.numel(), at_b + b.numel()
            with torch.no_grad():
                a.copy_(initial_a(seed, name, r, inputs))
            self.pairs[name] = Pair(name, a, b, scale, dropout, seed)

    def parameters(self) -> tuple[torch.nn.Parameter, torch.nn.Parameter]:
        """The two flat ones."""
        return self.a, self.b

    def zero_grad(self) -> None:
        """Set all gradients to zero, where they are."""
        for one in self.parameters():
            assert one.grad is not None
            one.grad.zero_()

    def tensors(self) -> dict[str, torch.Tensor]:
        """The weights under PEFT's names for them in adapter_model.safetensors."""
        sides = {"lora_A": "a", "lora_B": "b"}
        return {
            f"base_model.model.{name}.{side}.weight": getattr(pair, own).detach()
            for name, pair in self.pairs.items()
            for side, own in sides.items()
        }

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take the values of `tensors`, which must be named as in `tensors()`. ValueError where they are another adapter's."""
        own = self.tensors()
        if own.keys() != tensors.keys() or any(own[name].shape != tensors[name].shape for name in own):
            raise ValueError("These weights are of another adapter: they differ in targets or rank.")
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(tensors[name])


def targets(model: torch.nn.Module, target_modules: Sequence[str]) -> dict[str, tuple[int, int]]:
    """The projections of `model` whose name ends in one of `target_modules`: name → inputs, outputs. Those that are shared already keep
    the name that they had."""
    linear = {name.removesuffix(f".{BASE}"): module for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    return {
        name: (int(module.in_features), int(module.out_features))
        for name, module in linear.items()
        if any(f".{name}".endswith(f".{target}") for target in target_modules)
    }


def _flat(numel: int, dtype: torch.dtype, device: "torch.device | str") -> torch.nn.Parameter:
    parameter = torch.nn.Parameter(torch.zeros(numel, dtype=dtype, device=device))
    parameter.grad = torch.zeros_like(parameter)
    return parameter


def _view(flat: torch.nn.Parameter, start: int, shape: tuple[int, int]) -> torch.nn.Parameter:
    """A parameter of its own that shares the memory of `flat`, and its gradient that of `flat`'s."""
    assert flat.grad is not None
    end = start + shape[0] * shape[1]
    parameter = torch.nn.Parameter(flat.detach()[start:end].view(shape))
    parameter.grad = flat.grad[start:end].view(shape)
    return parameter
