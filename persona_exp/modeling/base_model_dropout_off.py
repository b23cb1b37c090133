"""A base model without regularisation of its own: in training mode it computes what it computes in evaluation mode.

Dropout of attention, residuals and embeddings, dropped layers and noise on routers are settings of its pretraining. They come with the
weights, differ between families, and draw from a generator that micro-batch and neighbours share. An adapter has its own (`lora.dropout`).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# In the names of transformers' settings and attributes: attention_dropout, resid_pdrop, layerdrop, drop_path, router_jitter_noise, ….
NAMES = ("drop", "jitter")


def switch_dropout_off(model: "torch.nn.Module") -> None:
    """Set every dropout, dropped layer and noise of `model` to 0, in its modules and in its config, and its routers' own losses off.

    A config that is saved with the model says so then.
    """
    from torch.nn.modules.dropout import _DropoutNd

    for module in model.modules():
        if isinstance(module, _DropoutNd):
            module.p = 0.0
        _silence(vars(module))
    for config in _configs(getattr(model, "config", None)):
        _silence(vars(config))
        if hasattr(config, "output_router_logits"):
            config.output_router_logits = False


def _silence(settings: dict[str, Any]) -> None:
    for name, value in settings.items():
        if isinstance(value, float) and any(part in name.lower() for part in NAMES):
            settings[name] = 0.0


def _configs(config: Any) -> list[Any]:
    """Return `config` and those that it holds."""
    from transformers import PretrainedConfig

    if not isinstance(config, PretrainedConfig):
        return []
    return [config, *(inner for value in vars(config).values() for inner in _configs(value))]
