"""The load-balancing loss of a model's experts, which train.router_aux_loss adds."""

from typing import Any

import torch

from persona_exp.errors import UserError


def router_coefficient(model: Any) -> float:
    """Return the coefficient of the load-balancing loss that `model` was pretrained with. Raise UserError where it has no such loss."""
    config = model.config.get_text_config()
    coefficient = float(getattr(config, "router_aux_loss_coef", None) or 0)
    if not coefficient or not hasattr(config, "output_router_logits"):
        raise UserError(f"train.router_aux_loss=true: {type(model).__name__} has no load-balancing loss of experts; leave it out.")
    return coefficient


def router_loss(output: Any) -> torch.Tensor:
    """Return that loss in a model's `output`. Raise UserError where it has none."""
    loss = getattr(output, "aux_loss", None)
    if not isinstance(loss, torch.Tensor):
        raise UserError("train.router_aux_loss=true: this model returns no load-balancing loss of its experts; leave it out.")
    return loss
