"""A loss or a gradient that is not finite: refused before the weights move. In a bundle it is the failure of its slot alone."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def refuse_non_finite(step: int, loss: float, norm: float) -> None:
    """Raise FloatingPointError where the loss of `step` or the norm of its gradient is not finite."""
    if not math.isfinite(loss) or not math.isfinite(norm):
        raise FloatingPointError(f"The loss of step {step} is {loss}, its gradient's norm {norm}: lower optim.lr.")


def unusable_gradients(norms: "torch.Tensor", losses: "torch.Tensor") -> "torch.Tensor":
    """Return, on the device and without waiting for it, 1 for each slot whose norm or loss is not finite, else 0."""
    return (~(norms.isfinite() & losses.isfinite())).to(norms.dtype)
