"""Config group `method`: how the model learns."""

from dataclasses import dataclass

from persona_exp.config.range_checks import one_of


@dataclass
class Method:
    """How the model learns: `lora` (16-bit base), `qlora` (4-bit base), `full` (all weights) or `none` (the base model as it is)."""

    name: str = "qlora"
    quantisation: str = "nf4"
    double_quantisation: bool = True

    def __post_init__(self) -> None:
        one_of("method.name", self.name, ("lora", "qlora", "full", "none"))
        one_of("method.quantisation", self.quantisation, ("none", "nf4"))
