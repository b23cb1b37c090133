"""The cross-entropy of supervised tokens under a frozen output head, in chunks: the logits of all of them are never held at once."""

from collections.abc import Callable
from typing import Any

import torch

# Rows of logits held at once: 512 of a 150,000-token vocabulary take 300 MB in float32.
ROWS = 512

# Hidden states [n, hidden size] → logits [n, vocabulary].
Head = Callable[[torch.Tensor], torch.Tensor]


def chunked_cross_entropy(
    hidden: torch.Tensor, head: Head, targets: torch.Tensor, weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (Σ weight·loss, the loss of each) in nats.

    `hidden` [n, hidden size], `head` frozen, `targets` [n], `weights` [n]. The sum alone has a gradient, and for `hidden` alone: it is
    worked out beside the logits, whose softmax is taken in float32 or better.
    """
    total: tuple[torch.Tensor, torch.Tensor] = _ChunkedCrossEntropy.apply(hidden, head, targets, weights)  # type: ignore[no-untyped-call]
    return total


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, head: Head, targets: torch.Tensor, weights: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        precise = torch.promote_types(hidden.dtype, torch.float32)
        each = torch.empty(len(hidden), dtype=precise, device=hidden.device)
        gradient = torch.empty_like(hidden)
        for start in range(0, len(hidden), ROWS):
            rows = slice(start, start + ROWS)
            own = hidden[rows].detach().requires_grad_(ctx.needs_input_grad[0])
            with torch.set_grad_enabled(ctx.needs_input_grad[0]):
                logits = head(own)
            found = logits.detach().to(precise)
            each[rows] = torch.nn.functional.cross_entropy(found, targets[rows], reduction="none")
            if ctx.needs_input_grad[0]:
                slope = torch.softmax(found, dim=-1)
                slope[torch.arange(len(slope), device=slope.device), targets[rows]] -= 1
                (back,) = torch.autograd.grad(logits, own, slope.to(logits.dtype))
                # Weighed behind the product, where there are fewer numbers.
                gradient[rows] = back * weights[rows, None]
        ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(each)
        return (each * weights).sum(), each

    @staticmethod
    def backward(ctx: Any, of_total: torch.Tensor, _: torch.Tensor) -> tuple[Any, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * of_total.to(gradient.dtype), None, None, None
