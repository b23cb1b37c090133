"""Whether `lora.target_modules` are linear layers of a model that adapters can go on."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from persona_exp.errors import UserError

if TYPE_CHECKING:
    import torch
# Names of projections that PEFT (0.21) takes for a mixture's experts where these are one tensor, also where dense layers and shared experts
# have linear layers of that name (peft.utils.transformers_weight_conversion).
EXPERTS = frozenset(("gate", "w1", "w2", "w3", "gate_proj", "up_proj", "down_proj"))
# What a projection that several adapters share calls the model's own.
BASE_LAYER = "base"


def check_targets(model: "torch.nn.Module", target_modules: Sequence[str]) -> None:
    """Raise UserError if a target is no linear layer of the model, or its output head, whatever that is called, or there is none."""
    import torch

    linear = {name.removesuffix(f".{BASE_LAYER}"): module for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    heads = _heads(model, linear)
    experts = EXPERTS if _has_expert_tensors(model) else frozenset()
    inside = sorted({name.split(".")[-1] for name in linear if name not in heads} - experts)
    choice = f"choose from {', '.join(inside)}" if inside else "it has no linear layers that adapters go on"
    missing = [target for target in target_modules if not any(_matches(target, name) for name in linear)]
    if missing or not target_modules:
        others = [name for name, _ in (*model.named_modules(), *model.named_parameters())]
        if missing and all(any(_matches(target, name) for name in others) for target in missing):
            # Embeddings, norms, experts that are one tensor.
            raise UserError(f"lora.target_modules: {', '.join(missing)} of this model is no linear layer, which adapters go on: {choice}.")
        raise UserError(f"lora.target_modules has no {', '.join(missing) or 'entry'} in this model: {choice}.")
    taken = [target for target in target_modules if target.split(".")[-1] in experts]
    if taken:
        raise UserError(
            f"lora.target_modules: PEFT takes {', '.join(taken)} for this model's experts, which are one tensor, so that an adapter on its "
            f"linear layers of that name could not be loaded: {choice}."
        )
    heads_targeted = [target for target in target_modules if any(_matches(target, name) for name in heads)]
    if heads_targeted:
        raise UserError(
            f"lora.target_modules: {', '.join(heads_targeted)} is this model's output head, which neither engine trains: {choice}."
        )


def _has_expert_tensors(model: "torch.nn.Module") -> bool:
    import torch

    return any(
        parameter.ndim == 3
        for module in model.modules()
        if not isinstance(module, torch.nn.Conv1d)
        for parameter in module.parameters(recurse=False)
    )


def _matches(target: str, name: str) -> bool:
    return f".{name}".endswith(f".{target}")


def _heads(model: "torch.nn.Module", linear: "Mapping[str, torch.nn.Module]") -> set[str]:
    """Return the names of those of `linear` that make logits: the output embeddings, and layers outside the decoder."""
    output = getattr(model, "get_output_embeddings", lambda: None)()
    decoder = getattr(model, "base_model", model)
    within = {id(module) for module in decoder.modules()}
    return {name for name, module in linear.items() if module is output or id(module) not in within}
