"""Config group `method`: how the model learns."""

from dataclasses import dataclass

from persona_exp.config.range_checks import one_of


@dataclass
class Method:
    """How the model learns."""

    name: str = "qlora"
    """An adapter on a 16-bit base, an adapter on a 4-bit base, all weights, or the base model as it is."""
    quantisation: str = "nf4"
    """How the base model's weights are kept."""
    double_quantisation: bool = True
    """Quantise NF4's own scales too, which saves 0.4 bits a weight."""

    def __post_init__(self) -> None:
        one_of("method.name", self.name, ("lora", "qlora", "full", "none"))
        one_of("method.quantisation", self.quantisation, ("none", "nf4"))
