"""Config group `lora`: low-rank adapters."""

import re
from dataclasses import dataclass, field

from persona_exp.config.range_checks import between, positive
from persona_exp.errors import UserError


@dataclass
class Lora:
    """Low-rank adapters (Hu et al. 2021, arXiv:2106.09685): ΔW = (alpha / r) B A on each of `target_modules`."""

    r: int = 16
    """The rank of the adapter."""
    alpha: float = 32
    """The numerator of the adapter's scale, alpha / r."""
    dropout: float = 0.05
    """The share of the adapter's inputs that is set to zero while it trains."""
    target_modules: list[str] = field(default_factory=list)
    """The linear layers that get an adapter (by default those that the model's file names)."""
    rslora: bool = False
    """Scale by alpha / √r instead of alpha / r (Kalajdzievski 2023, arXiv:2312.03732)."""
    init_from: str | None = None
    """A finished trial of the same base model, rank, scale and targets, with whose weights A and B begin; it needs engine=fused."""

    def __post_init__(self) -> None:
        positive("lora.r", self.r)
        positive("lora.alpha", self.alpha)
        if self.init_from is not None and not re.fullmatch("[0-9a-f]{12}", self.init_from):
            raise UserError(f"lora.init_from={self.init_from} is no trial: give the twelve digits of one.")
        between("lora.dropout", self.dropout, 0, 0.95)
