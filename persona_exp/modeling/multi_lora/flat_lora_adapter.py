"""One trial's LoRA weights in two flat tensors, apart from the model that they adapt."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from persona_exp.modeling.lora_adapter import initial_a
from persona_exp.modeling.lora_targets import BASE_LAYER
from persona_exp.modeling.multi_lora.flat_parameters import CastWeights, FlatParameters, transposed, view


@dataclass(frozen=True)
class LoraPair:
    """A [r, inputs] and B [outputs, r] on one projection: ΔW = scale·B·A, the input dropped out with `dropout`.

    Gradients are added to tensors that are never freed. B lies in memory as its transpose does, row by rank, so that the ranks of several
    adapters stand side by side without a copy of each.
    """

    module: str
    a: torch.nn.Parameter
    b: torch.nn.Parameter
    scale: float
    dropout: float
    seed: int
    flat: FlatParameters

    def sides(self, whole: CastWeights) -> tuple[torch.Tensor, torch.Tensor]:
        """Return its part of `whole`, a cast of its adapter's weights: shaped as `a` and as the transpose of `b`."""
        return _view_like(self.a, whole.a), _view_like(self.b.T, whole.b)


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
        self.flat = FlatParameters(numel_a, numel_b, dtype, device)
        self.a, self.b = self.flat.a, self.flat.b
        scale = alpha / (math.sqrt(r) if rslora else r)
        self.pairs: dict[str, LoraPair] = {}
        at_a = at_b = 0
        for name, (inputs, outputs) in shapes.items():
            a, b = view(self.a, at_a, (r, inputs)), transposed(view(self.b, at_b, (r, outputs)))
            at_a, at_b = at_a + a.numel(), at_b + b.numel()
            with torch.no_grad():
                a.copy_(initial_a(seed, name, r, inputs))
            self.pairs[name] = LoraPair(name, a, b, scale, dropout, seed, self.flat)

    def parameters(self) -> tuple[torch.nn.Parameter, torch.nn.Parameter]:
        """Return the two flat ones."""
        return self.a, self.b

    def zero_grad(self) -> None:
        """Set all gradients to zero in place, after an optimiser step that may have written to the weights."""
        torch._foreach_zero_([one.grad for one in self.parameters() if one.grad is not None])
        self.flat.mark_written()

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the weights under PEFT's names for them in adapter_model.safetensors, contiguous as that asks for; B is a copy."""
        return {name: tensor.contiguous() for name, tensor in self._named().items()}

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take the values of `tensors`, named as in `tensors()`. Raise ValueError where they are another adapter's."""
        own = self._named()
        if own.keys() != tensors.keys() or any(own[name].shape != tensors[name].shape for name in own):
            raise ValueError("These weights are of another adapter: they differ in targets or rank.")
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(tensors[name])

    def _named(self) -> dict[str, torch.Tensor]:
        sides = {"lora_A": "a", "lora_B": "b"}
        return {
            f"base_model.model.{name}.{side}.weight": getattr(pair, own).detach()
            for name, pair in self.pairs.items()
            for side, own in sides.items()
        }


def projections(model: torch.nn.Module) -> dict[str, tuple[int, int]]:
    """Return all projections of `model`: name → inputs, outputs. Those that are shared already keep the name that they had."""
    return {
        name.removesuffix(f".{BASE_LAYER}"): (int(module.in_features), int(module.out_features))
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
    }


def target_projections(model: torch.nn.Module, target_modules: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return the projections of `model` whose name ends in one of `target_modules`."""
    return {
        name: shape for name, shape in projections(model).items() if any(f".{name}".endswith(f".{target}") for target in target_modules)
    }


def _view_like(own: torch.Tensor, flat: torch.Tensor) -> torch.Tensor:
    # The flat tensor may itself be a segment of a larger whole.
    return flat.as_strided(own.shape, own.stride(), flat.storage_offset() + own.storage_offset())
