"""Config group `bundle`: which trials of engine=fused are trained together."""

from dataclasses import dataclass

from persona_exp.config.range_checks import positive
from persona_exp.config.schema.outside_identity import outside


@dataclass
class Bundle:
    """Which trials of engine=fused are trained together."""

    size: int = outside(8)
    """The most trials that share a base model in one process."""
    row_tokens: int | None = outside(None)
    """How many tokens go through the base model at once (null: as many as suit the device)."""

    def __post_init__(self) -> None:
        positive("bundle.size", self.size)
        if self.row_tokens is not None:
            positive("bundle.row_tokens", self.row_tokens)
