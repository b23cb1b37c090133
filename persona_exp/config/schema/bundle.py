"""Config group `bundle`: which trials of engine=fused are trained together."""

from dataclasses import dataclass

from persona_exp.config.range_checks import positive
from persona_exp.config.schema.outside_identity import outside


@dataclass
class Bundle:
    """At most `size` trials share a base model. `row_tokens` go through it at once (null: as many as suit the device)."""

    size: int = outside(8)
    row_tokens: int | None = outside(None)

    def __post_init__(self) -> None:
        positive("bundle.size", self.size)
        if self.row_tokens is not None:
            positive("bundle.row_tokens", self.row_tokens)
