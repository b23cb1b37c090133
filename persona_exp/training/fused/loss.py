"""The loss of supervised tokens under a frozen output head, without ever holding the logits of all of them."""

from typing import Any

import torch

# Rows of logits held at once: 512 of a 150,000-token vocabulary take 300 MB in float32.
ROWS = 512


def losses(
    hidden: torch.Tensor, head: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, softcap: float | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """(Σ weight·loss, the loss of each) in nats.

    `hidden` [n, hidden size], `head` [vocabulary, hidden size] (frozen), `targets` [n], `weights` [n]. The sum alone has a gradient, and
    for `hidden` alone: it is worked out beside the logits, whose softmax is taken in float32 or better. `softcap` is the bound of
    models that cap their logits: softcap·tanh(logit/softcap).
    """
    total: tuple[torch.Tensor, torch.Tensor] = _Losses.apply(hidden, head, targets, weights, softcap)  # type: ignore[no-untyped-call]
    return total


class _Losses(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, head: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, softcap: float | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        precise = torch.promote_types(hidden.dtype, torch.float32)
        each = torch.empty(len(hidden), dtype=precise, device=hidden.device)
        gradient = torch.empty_like(hidden)
        for start in range(0, len(hidden), ROWS):
            rows = slice(start, start + ROWS)
            logits = (hidden[rows] @ head.T).to(precise)
            capped = softcap * torch.tanh(logits / softcap) if softcap else logits
            each[rows] = torch.nn.functional.cross_entropy(capped, targets[rows], reduction="none")
            if ctx.needs_input_grad[0]:
                slope = torch.softmax(capped, dim=-1)
                slope[torch.arange(len(slope), device=slope.device), targets[rows]] -= 1
                if softcap:
                    slope *= 1 - (capped / softcap) ** 2
                # Weighed behind the product, where there are fewer numbers.
                gradient[rows] = (slope.to(hidden.dtype) @ head) * weights[rows, None]
        ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(each)
        return (each * weights).sum(), each

    @staticmethod
    def backward(ctx: Any, of_total: torch.Tensor, _: torch.Tensor) -> tuple[Any, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * of_total.to(gradient.dtype), None, None, None, None
