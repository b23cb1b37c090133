"""The dtype in which a base model is loaded and trained, where the method decides it and not model.dtype."""

from dataclasses import replace
from typing import TYPE_CHECKING

from persona_exp.errors import UserError

if TYPE_CHECKING:
    from persona_exp.config.schema import Config


def with_training_dtype(config: "Config") -> "Config":
    """Return `config` with the dtype that its method trains in: float32 for method=full. Raise UserError where that is to be quantised."""
    if config.method.name != "full":
        return config
    if config.method.quantisation != "none":
        raise UserError("method=full trains the weights themselves, which 4 bits cannot hold: set method.quantisation=none.")
    # In bf16 an update smaller than 1/256 of its weight is lost; the base row of the comparison is held to the same precision.
    return replace(config, model=replace(config.model, dtype="float32"))
