"""Config group `lora`: low-rank adapters."""

from dataclasses import dataclass, field

from persona_exp.config.checks import between, positive


@dataclass
class Lora:
    """Low-rank adapters (Hu et al. 2021, arXiv:2106.09685): ΔW = (alpha / r) B A on each of `target_modules`."""

    r: int = 16
    alpha: float = 32
    dropout: float = 0.05
    target_modules: list[str] = field(default_factory=list)
    rslora: bool = False

    def __post_init__(self) -> None:
        positive("lora.r", self.r)
        positive("lora.alpha", self.alpha)
        between("lora.dropout", self.dropout, 0, 0.95)
