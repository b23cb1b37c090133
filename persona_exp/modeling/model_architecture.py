"""What a model is made of, by its config.json alone: built without weights, of transformers' own classes."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.errors import UserError
from persona_exp.modeling.attention_implementation import attention_implementations

if TYPE_CHECKING:
    import torch

WEIGHT_READ_DIRECTLY = "its weight is read past it, where an adapter and NF4 go unseen"
ADAPTER_WITHOUT_EFFECT = "an adapter on it changes nothing"
# A layer with fewer outputs than this share of its inputs decides or scales (a router, a gate a head): no projection to adapt.
NARROW = 16


@dataclass(frozen=True)
class Architecture:
    """`kind`: transformers' model_type of the language part. `parameters`: all weights, of which `linear` are in linear layers but the
    output head, which NF4 makes smaller. `targets`: names of the linear layers in the blocks that adapters can go on, in the order of the
    model, and `others` the rest of them with the reason. `attention`: the implementations that it has, as model.attention names them.
    `quantised`: how the weights in the folder are, None for 16 or 32 bits."""

    kind: str
    layers: int
    parameters: int
    linear: int
    targets: tuple[str, ...]
    others: dict[str, str]
    attention: tuple[str, ...]
    quantised: str | None


def architecture(folder: Path) -> Architecture:
    """Return the architecture of the model in `folder`, with or without its weights. Raise UserError if transformers cannot build it."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, __version__

    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} is no model's folder: it must hold a config.json and a tokenizer.")
    try:
        config: Any = AutoConfig.from_pretrained(folder, local_files_only=True)
        language = config.get_text_config()
        with torch.device("meta"):
            model: Any = AutoModelForCausalLM.from_config(language)  # type: ignore[no-untyped-call]
    except (ValueError, KeyError, TypeError, AttributeError, ImportError, OSError) as error:
        # Whatever a configuration's own checks, a missing package or an unknown model_type raise.
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise UserError(f"transformers {__version__} makes no causal language model of {folder / 'config.json'}: {reason}.") from error
    targets, others = _linear_layers(model)
    return Architecture(
        kind=str(language.model_type),
        layers=int(language.num_hidden_layers),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        linear=sum(layer.weight.numel() for _, layer, _ in _linear(model)),
        targets=targets,
        others=others,
        attention=attention_implementations(type(model)),
        quantised=_quantised(config),
    )


def _quantised(config: Any) -> str | None:
    recipe = getattr(config, "quantization_config", None)
    if recipe is None:
        return None
    return str(recipe.get("quant_method", "in a way of its own") if isinstance(recipe, dict) else recipe.quant_method)


def _linear_layers(model: "torch.nn.Module") -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the names to adapt, and those not to with the reason, each by its last part."""
    found: dict[str, str | None] = {}
    for name, layer, parent in _linear(model):
        last = name.rpartition(".")[2]
        reason = None
        if not re.search(r"\.\d+\.", name):
            reason = "outside the blocks"
        elif layer.out_features * NARROW < layer.in_features:
            reason = f"only {layer.out_features} outputs"
        elif reads_weight_directly(type(parent), last):
            reason = WEIGHT_READ_DIRECTLY
        if reason is not None or last not in found:
            found[last] = reason  # One place of that name that speaks against it is enough.
    targets = tuple(name for name, reason in found.items() if reason is None)
    return targets, {name: reason for name, reason in found.items() if reason is not None}


def _linear(model: "torch.nn.Module") -> "Iterator[tuple[str, torch.nn.Linear, torch.nn.Module]]":
    """Yield every linear layer but the output head, with its name and the module that holds it."""
    import torch

    head = model.get_output_embeddings()  # type: ignore[operator]
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and module is not head:
            yield name, module, model.get_submodule(name.rpartition(".")[0])


def reads_weight_directly(parent: type, name: str) -> bool:
    """Return whether the code of `parent` takes the weight of its layer `name` by itself, as fused kernels of state-space models do."""
    return re.search(rf"\bself\.{re.escape(name)}\.weight\b(?!\.(dtype|device|shape|size|ndim))", inspect.getsource(parent)) is not None
