"""The base model that the trials of a bundle share, as their device computes it fastest."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.trial.trial_base_model import load_base

if TYPE_CHECKING:
    from persona_exp.config.schema import Config


def load_bundle_base(config: "Config", folder: Path, *, at_once: int, row_tokens: int) -> tuple[Any, bool]:
    """Return the base model, and whether its 4-bit projections were dequantised once and are kept so: as model.cache_dequantized says,
    which by itself (auto) leaves room for `at_once` trials like that of `config` and for a row of `row_tokens`."""
    from persona_exp.modeling.nf4_dequantisation import dequantise, fits_dequantised

    model = load_base(config, folder)
    setting = config.model.cache_dequantized
    if config.method.quantisation == "none" or setting is False:
        return model, False
    if setting is not True and not fits_dequantised(model, _reserve_bytes(config, folder, at_once, row_tokens)):
        return model, False
    dequantise(model)
    return model, True


def _reserve_bytes(config: "Config", folder: Path, at_once: int, row_tokens: int) -> int:
    """Return the bytes that training takes beside the weights. A model whose layer sizes cannot be read keeps its 4 bits."""
    import torch

    from persona_exp.modeling import training_memory_estimate
    from persona_exp.modeling.layer_sizes import read_layer_sizes

    shape = read_layer_sizes(folder / "config.json")
    if shape is None:
        return 1 << 62
    lora, targets = config.lora, config.lora.target_modules
    row = training_memory_estimate.estimate_bundle_memory(
        shape,
        training_memory_estimate.BundleTraining(
            quantisation=config.method.quantisation,
            double_quantisation=config.method.double_quantisation,
            dtype=config.model.dtype,
            row_tokens=row_tokens,
            longest=config.train.max_length,
            r=lora.r,
            target_modules=targets,
            dropout=lora.dropout,
            gradient_checkpointing=config.train.gradient_checkpointing is True,
            gpu=torch.cuda.is_available(),
            dequantised=True,
        ),
    )
    return row.activations + at_once * training_memory_estimate.slot_bytes(
        shape, r=lora.r, target_modules=targets, optimizer=config.optim.name
    )
