"""A small random model of the same configuration as a large one, for engines to be tried on."""

from typing import TYPE_CHECKING, Any

import torch

from persona_exp.modeling.reduced_model_config import reduce_config

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

# Weights of a model whose sizes could not be reduced.
TOO_LARGE = 60_000_000


def small_config(config: "PreTrainedConfig") -> "PreTrainedConfig":
    """Return `config` reduced. Raise ValueError where a kind of layer is lost in that, or much is left, or what transformers raises."""
    small = reduce_config(config)
    with torch.device("meta"):
        whole, part = (_made(one) for one in (_without_file_format(config), small))
    lost = _kinds(whole) - _kinds(part)
    if lost:
        raise ValueError(f"its {min(lost)[0]} is lost in making it small")
    count = sum(one.numel() for one in part.parameters())
    if count > TOO_LARGE:
        raise ValueError(f"{count:,} weights are left of it")
    return small


def random_small_model(config: "PreTrainedConfig") -> Any:
    """Return a model of `config` in float32 and eval mode, its weights drawn so that each affects the losses: the same every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = _made(config)
        with torch.no_grad():
            for parameter in model.parameters():
                noise = torch.randn_like(parameter)
                if parameter.ndim > 1:
                    parameter.copy_(noise / parameter.shape[-1] ** 0.5)
                else:
                    parameter.add_(0.1 * noise)
    return model.eval()


def _made(config: "PreTrainedConfig") -> Any:
    """Return a model of `config` that computes attention in the eager way, in float32."""
    from transformers import AutoModelForCausalLM

    kind: Any = AutoModelForCausalLM
    return kind.from_config(config, attn_implementation="eager", dtype=torch.float32)


def _without_file_format(config: "PreTrainedConfig") -> "PreTrainedConfig":
    whole = config.to_dict()
    whole.pop("quantization_config", None)
    return type(config).from_dict(whole)


def _kinds(model: torch.nn.Module) -> set[tuple[str, str]]:
    """Return the kinds of modules in a model: class, and each attribute that is a switch, or whether one that is a number is there."""

    def kind(value: object) -> object:
        return value if value is None or isinstance(value, bool) else type(value).__name__

    return {
        (
            type(module).__name__,
            str(sorted((name, kind(value)) for name, value in vars(module).items() if isinstance(value, bool | int | None))),
        )
        for module in model.modules()
    }
