"""The gradients of a bundle's slots, normed and clipped together and without waiting for the device."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from persona_exp.modeling.multi_lora.flat_lora_adapter import Adapter
from persona_exp.modeling.multi_lora.row_tensors import to_device
from persona_exp.training.non_finite_gradient import unusable_gradients


@dataclass(frozen=True)
class Clipping:
    """Of several slots, on the device [slots]: the `norms` of their gradients, the `coefficients` (1 at most) that make these no greater
    than their limits, and whether the gradients are `unusable` (1 if so, else 0)."""

    norms: torch.Tensor
    coefficients: torch.Tensor
    unusable: torch.Tensor


def clipping(adapters: Sequence[Adapter], max_norms: Sequence[float], losses: torch.Tensor) -> Clipping:
    """Return the clipping of the gradients of `adapters`, whose summed losses are `losses` [adapters].

    Norms and coefficients are those of torch.nn.utils.clip_grad_norm_, for the gradients of A and B as two parameters.
    """
    gradients = [one.grad for adapter in adapters for one in adapter.parameters() if one.grad is not None]
    norms = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)).view(len(adapters), 2), dim=1)
    limits = to_device(torch.tensor(max_norms, dtype=norms.dtype), norms.device)
    return Clipping(norms, (limits / (norms + 1e-6)).clamp(max=1.0), unusable_gradients(norms, losses))
