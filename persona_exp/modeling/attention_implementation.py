"""Which implementation of transformers' attention a base model computes with: sdpa, eager or flash_attention_2 (model.attention)."""

from typing import TYPE_CHECKING, Any

from persona_exp.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


def available_attention(config: "PreTrainedConfig", attention: str) -> str:
    """Return the implementation that `attention` names; of `auto`, sdpa if the architecture of `config` has it, else eager, with a message.

    Raise UserError if it is `sdpa` and the architecture has none."""
    from transformers import AutoModelForCausalLM

    architecture = AutoModelForCausalLM._model_mapping.get(type(config), None)
    has_sdpa = bool(getattr(architecture, "_supports_sdpa", True))
    if attention == "auto" and not has_sdpa:
        print(f"Attention is computed in the eager way: transformers has no sdpa for {config.model_type}.", flush=True)
    if attention == "sdpa" and not has_sdpa:
        raise UserError(f"model.attention=sdpa is not to be had for {config.model_type}: use auto or eager.")
    return attention if attention != "auto" else "sdpa" if has_sdpa else "eager"


def attention_implementations(model_class: Any) -> tuple[str, ...]:
    """Return the values of model.attention that `model_class` of transformers' has."""
    has = {
        "sdpa": getattr(model_class, "_supports_sdpa", False),
        "eager": True,
        "flash_attention_2": getattr(model_class, "_supports_flash_attn", False),
    }
    return tuple(name for name, there in has.items() if there)
