"""The optimiser of one adapter."""

from typing import Any

import torch

from persona_exp.modeling.bundle.adapter import Adapter
from persona_exp.training.fused.recipe import Recipe


def optimizer(adapter: Adapter, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW, by transformers' names for its kinds, over the adapter's flat tensors; bitsandbytes' where it has 8 bits or is paged."""
    groups = [
        {"params": [adapter.a], "lr": recipe.lr},
        {"params": [adapter.b], "lr": recipe.lr * recipe.loraplus_lr_ratio},
    ]
    settings: dict[str, Any] = {"lr": recipe.lr, "betas": (recipe.beta1, recipe.beta2), "weight_decay": recipe.weight_decay}
    if recipe.optimizer == "adamw_torch":
        # In one kernel, and without a copy of the weights for which there might be no memory.
        return _allocated(torch.optim.AdamW(groups, **settings, fused=adapter.a.device.type == "cuda"))
    from bitsandbytes.optim import adamw

    bits, paged = (8 if "8bit" in recipe.optimizer else 32), recipe.optimizer.startswith("paged")
    kind: Any = adamw.AdamW
    made: torch.optim.Optimizer = kind(groups, **settings, optim_bits=bits, is_paged=paged)
    return made


def _allocated(made: torch.optim.AdamW) -> torch.optim.AdamW:
    """With the states that AdamW would make in its first step, where half of a bundle might have moved when there is no memory for them."""
    for group in made.param_groups:
        for parameter in group["params"]:
            moments = {name: torch.zeros_like(parameter, memory_format=torch.preserve_format) for name in ("exp_avg", "exp_avg_sq")}
            step = torch.tensor(0.0, device=parameter.device if group["fused"] else None)
            made.state[parameter] = {"step": step, **moments}
    return made
