"""One trial's LoRA weights, held apart from the model that they adapt."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from persona_exp.modeling.adapter import BASE, initial_a
from persona_exp.modeling.bundle.flat import Cast, Flat, view


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
    flat: Flat

    def cast(self, dtype: torch.dtype, grown: float) -> Cast:
        """All of its adapter's weights, B times scale·grown: the same object for each pair, until they are written to."""
        return self.flat.cast(dtype, self.scale * grown)

    def sides(self, whole: Cast) -> tuple[torch.Tensor, torch.Tensor]:
        """Its own of `whole`, shaped as `a` and `b`."""
        return _alike(self.a, whole.a), _alike(self.b, whole.b)


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
        self.r, self.dropout, self.seed = r, dropout, seed
        numel_a, numel_b = (sum(shape[side] for shape in shapes.values()) * r for side in (0, 1))
        self.flat = Flat(numel_a, numel_b, dtype, device)
        self.a, self.b = self.flat.a, self.flat.b
        scale = alpha / (math.sqrt(r) if rslora else r)
        self.pairs: dict[str, Pair] = {}
        at_a = at_b = 0
        for name, (inputs, outputs) in shapes.items():
            a, b = view(self.a, at_a, (r, inputs)), view(self.b, at_b, (outputs, r))
            at_a, at_b = at_a + a.numel(), at_b + b.numel()
            with torch.no_grad():
                a.copy_(initial_a(seed, name, r, inputs))
            self.pairs[name] = Pair(name, a, b, scale, dropout, seed, self.flat)

    def parameters(self) -> tuple[torch.nn.Parameter, torch.nn.Parameter]:
        """The two flat ones."""
        return self.a, self.b

    def zero_grad(self) -> None:
        """Set all gradients to zero, where they are; the weights may have taken a step."""
        for one in self.parameters():
            assert one.grad is not None
            one.grad.zero_()
        self.flat.written()

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


def projections(model: torch.nn.Module) -> dict[str, tuple[int, int]]:
    """All of `model`: name → inputs, outputs. Those that are shared already keep the name that they had."""
    return {
        name.removesuffix(f".{BASE}"): (int(module.in_features), int(module.out_features))
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
    }


def targets(model: torch.nn.Module, target_modules: Sequence[str]) -> dict[str, tuple[int, int]]:
    """The projections of `model` whose name ends in one of `target_modules`."""
    return {
        name: shape for name, shape in projections(model).items() if any(f".{name}".endswith(f".{target}") for target in target_modules)
    }


def _alike(own: torch.Tensor, flat: torch.Tensor) -> torch.Tensor:
    return flat.as_strided(own.shape, own.stride(), own.storage_offset())
