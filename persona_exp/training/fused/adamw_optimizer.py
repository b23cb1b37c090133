"""The optimiser of one adapter."""

from typing import Any

import torch

from persona_exp.modeling.multi_lora.flat_lora_adapter import Adapter
from persona_exp.training.hyperparameters import OptimizerSettings


def adamw(adapter: Adapter, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """Return AdamW, by transformers' names for its kinds, over the adapter's flat tensors; bitsandbytes' where it has 8 bits or is
    paged."""
    groups = [
        {"params": [adapter.a], "lr": settings.lr},
        {"params": [adapter.b], "lr": settings.lr * settings.loraplus_lr_ratio},
    ]
    usual: dict[str, Any] = {"lr": settings.lr, "betas": (settings.beta1, settings.beta2), "weight_decay": settings.weight_decay}
    if settings.name == "adamw_torch":
        # In one kernel, and without a copy of the weights for which there might be no memory.
        return _allocated(torch.optim.AdamW(groups, **usual, fused=adapter.a.device.type == "cuda"))
    from bitsandbytes.optim import adamw as bitsandbytes_adamw

    bits, paged = (8 if "8bit" in settings.name else 32), settings.name.startswith("paged")
    kind: Any = bitsandbytes_adamw.AdamW
    made: torch.optim.Optimizer = kind(groups, **usual, optim_bits=bits, is_paged=paged)
    return made


def _allocated(made: torch.optim.AdamW) -> torch.optim.AdamW:
    """Return it with the states that AdamW would make in its first step, where half of a bundle would have moved if there is no memory for
    them."""
    for group in made.param_groups:
        for parameter in group["params"]:
            moments = {name: torch.zeros_like(parameter, memory_format=torch.preserve_format) for name in ("exp_avg", "exp_avg_sq")}
            step = torch.tensor(0.0, device=parameter.device if group["fused"] else None)
            made.state[parameter] = {"step": step, **moments}
    return made
