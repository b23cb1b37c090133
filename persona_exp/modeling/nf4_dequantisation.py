"""An NF4 model whose projections are dequantised once and kept, instead of anew in each forward and each backward pass.

The weights are the very numbers that bitsandbytes (0.50) makes of them for each product, so it is the same model: 16 bits a weight instead
of four, and none of the time that making them takes.
"""

import sys
from typing import TYPE_CHECKING, Any

from persona_exp import cgroup_memory

if TYPE_CHECKING:
    import torch

# What transformers notes on a quantised model and on its config.
NOTES = ("hf_quantizer", "quantization_method", "is_quantized", "is_loaded_in_4bit")


def dequantise(model: "torch.nn.Module") -> None:
    """Replace each 4-bit projection of `model` by a plain frozen one in its compute dtype, one after the other; nothing where none is.

    What is 4-bit of a projection is freed at once: at its peak there is one projection's more memory in use than in the end.
    """
    import torch

    for name, packed in quantised(model).items():
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, _plain(packed))
        # bitsandbytes ties a projection and its weight to each other, which would keep both until Python next looks for such rings.
        packed.weight.module = None
        packed.quant_state = None
        packed._parameters.clear()
    for note in NOTES:
        if note in vars(model):
            delattr(model, note)
    if hasattr(getattr(model, "config", None), "quantization_config"):
        del model.config.quantization_config  # type: ignore[union-attr]
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def cached_bytes(model: "torch.nn.Module") -> int:
    """Return the bytes that `dequantise` adds to those which `model` takes now."""
    return sum(_plain_bytes(one) - _quantised_bytes(one) for one in quantised(model).values())


def fits_dequantised(model: "torch.nn.Module", reserve_bytes: int) -> bool:
    """Return whether there is memory now to dequantise `model` where it is and still leave `reserve_bytes`."""
    packed = list(quantised(model).values())
    if not packed:
        return True
    # While one is made, its 4-bit copy is still there.
    peak = cached_bytes(model) + max(_quantised_bytes(one) for one in packed)
    return peak + reserve_bytes <= free_bytes(packed[0].weight.device)


def free_bytes(device: "torch.device") -> int:
    """Return the free bytes on `device` now, those included that PyTorch holds on to without using them."""
    import torch

    if device.type == "cuda":
        torch.cuda.empty_cache()
        free: int = torch.cuda.mem_get_info(device)[0]
        return free
    return cgroup_memory.free_bytes()


def quantised(model: "torch.nn.Module") -> dict[str, Any]:
    """Return the 4-bit projections of `model`. Where nothing has imported bitsandbytes, which takes long, there are none."""
    if "bitsandbytes" not in sys.modules:
        return {}
    from bitsandbytes.nn.modules import Linear4bit

    return {name: module for name, module in model.named_modules() if isinstance(module, Linear4bit)}


def plain_weight(packed: Any) -> "torch.Tensor":
    """Return the weights [outputs, inputs] of a 4-bit projection as its products take them, in its compute dtype."""
    from bitsandbytes.functional import dequantize_4bit

    state = packed.weight.quant_state
    if getattr(state, "packing_format_for_cpu", False):
        raise ValueError("This projection has been repacked for a CPU's own product, and its exact weights are lost.")
    before = state.dtype
    # Whatever the weights were in before they were quantised.
    state.dtype = _dtype(packed)
    try:
        weight: torch.Tensor = dequantize_4bit(packed.weight.data.view(-1, 1), state)
    finally:
        state.dtype = before
    return weight


def _plain(packed: Any) -> "torch.nn.Linear":
    import torch

    linear = torch.nn.Linear(packed.in_features, packed.out_features, bias=packed.bias is not None, device="meta")
    linear.weight = torch.nn.Parameter(plain_weight(packed), requires_grad=False)
    if packed.bias is not None:
        linear.bias = torch.nn.Parameter(packed.bias.detach().to(_dtype(packed)), requires_grad=False)
    return linear.train(packed.training)


def _dtype(quantised: Any) -> "torch.dtype":
    dtype: torch.dtype = quantised.compute_dtype or quantised.weight.quant_state.dtype
    return dtype


def _plain_bytes(quantised: Any) -> int:
    biases = 0 if quantised.bias is None else 1
    numbers: int = quantised.out_features * (quantised.in_features + biases)
    return numbers * _dtype(quantised).itemsize


def _quantised_bytes(quantised: Any) -> int:
    state, bias = quantised.weight.quant_state, quantised.bias
    nested = [state.state2.absmax] if state.nested else []
    tensors: list[torch.Tensor] = [quantised.weight.data, state.absmax, *nested, *([] if bias is None else [bias])]
    return sum(one.nbytes for one in tensors)
