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
        return torch.optim.AdamW(groups, **settings)
    from bitsandbytes.optim import adamw

    bits, paged = (8 if "8bit" in recipe.optimizer else 32), recipe.optimizer.startswith("paged")
    kind: Any = adamw.AdamW
    made: torch.optim.Optimizer = kind(groups, **settings, optim_bits=bits, is_paged=paged)
    return made
