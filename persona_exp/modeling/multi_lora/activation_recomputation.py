"""Decoder layers that keep their input alone, and are computed again in the backward pass (Chen et al. 2016, arXiv:1604.06174)."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from persona_exp.errors import UserError


def decoder_layers(model: torch.nn.Module) -> list[torch.nn.Module]:
    """Return the layers of `model` that transformers marks as able to be computed again. Raise UserError where there are none."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    layers: list[torch.nn.Module] = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not layers:
        raise UserError(f"{type(model).__name__} has no layers that can be computed again: use engine=sft.")
    return layers


@contextmanager
def recompute_in_backward(layers: list[torch.nn.Module], again: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    """Have `layers` keep their input alone within this block; the backward pass computes them again within `again()`.

    Not by transformers' own switch, which asks for layers in training mode and has no such `again`.
    """
    # Hooks of accelerate may stand in the method's place.
    before = [vars(layer).get("forward") for layer in layers]
    for layer in layers:
        layer.forward = _twice(layer.forward, again)
    try:
        yield
    finally:
        for layer, forward in zip(layers, before, strict=True):
            if forward is None:
                del layer.forward
            else:
                layer.forward = forward


def _twice(forward: Callable[..., Any], again: Callable[[], AbstractContextManager[None]]) -> Callable[..., Any]:
    def kept_input(*inputs: Any, **named: Any) -> Any:
        # Nothing here draws from a global generator, so none is put back.
        return checkpoint(
            forward, *inputs, use_reentrant=False, preserve_rng_state=False, context_fn=lambda: (nullcontext(), again()), **named
        )

    return kept_input
