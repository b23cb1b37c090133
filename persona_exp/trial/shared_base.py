"""The base model that the trials of a bundle share, as their device computes it fastest."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.trial import stages

if TYPE_CHECKING:
    from persona_exp.config.schema import Config


def load_shared(config: "Config", folder: Path, *, at_once: int, row_tokens: int) -> tuple[Any, bool]:
    """The base model, and whether its 4-bit projections were dequantised once and are kept so: as model.cache_dequantized says, which by
    itself (auto) leaves room for `at_once` trials like that of `config` and for a row of `row_tokens`."""
    from persona_exp.modeling.dequantisation import dequantise, fits

    model = stages.load_base(config, folder)
    wanted = config.model.cache_dequantized
    if config.method.quantisation == "none" or wanted is False:
        return model, False
    if wanted is not True and not fits(model, _reserve_bytes(config, folder, at_once, row_tokens)):
        return model, False
    dequantise(model)
    return model, True


def _reserve_bytes(config: "Config", folder: Path, at_once: int, row_tokens: int) -> int:
    """What training takes beside the weights. A model whose shape cannot be read keeps its 4 bits."""
    import torch

    from persona_exp.modeling import memory
    from persona_exp.modeling.shape import read_shape

    shape = read_shape(folder / "config.json")
    if shape is None:
        return 1 << 62
    lora, targets = config.lora, config.lora.target_modules
    row = memory.shared(
        shape,
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
    )
    return row.activations + at_once * memory.lane(shape, r=lora.r, target_modules=targets, optimizer=config.optim.name)
