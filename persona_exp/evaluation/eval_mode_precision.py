"""How a model computes while it is measured: without dropout, and in float32 where that decides figures."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Put the causal language model `model` into evaluation mode; each of its modules gets its own mode back at the end.

    On a CPU all of it computes in float32, on a GPU its output head does. Within another such block of the same model this changes nothing.
    """
    from persona_exp.modeling.float32_computation import head_in_float32, in_float32

    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with in_float32(model) if on_cpu(model) else head_in_float32(causal(model)):
            yield
    finally:
        for module in training:
            module.training = True


def on_cpu(model: Any) -> bool:
    """Return whether `model` computes on a CPU."""
    return bool(model.get_input_embeddings().weight.device.type == "cpu")


def precision(model: Any) -> str:
    """Return how figures of `model` are computed, in words for their reader."""
    dtype = str(model.get_input_embeddings().weight.dtype).removeprefix("torch.")
    return "float32" if on_cpu(model) or dtype == "float32" else f"{dtype}, output head in float32"


def causal(model: Any) -> Any:
    """Return the causal language model inside `model`, which PEFT may have wrapped; its adapters stay in it."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model
