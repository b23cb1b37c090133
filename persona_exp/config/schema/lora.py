"""Config group `lora`: low-rank adapters."""

import re
from dataclasses import dataclass, field

from persona_exp.config.range_checks import between, positive
from persona_exp.errors import UserError


@dataclass
class Lora:
    """Low-rank adapters (Hu et al. 2021, arXiv:2106.09685): ΔW = (alpha / r) B A on each of `target_modules`.

    `init_from` is a finished trial of the same base model, rank, scale and targets, with whose weights A and B begin (null: A at random, B
    with zeros). It wants engine=fused.
    """

    r: int = 16
    alpha: float = 32
    dropout: float = 0.05
    target_modules: list[str] = field(default_factory=list)
    rslora: bool = False
    init_from: str | None = None

    def __post_init__(self) -> None:
        positive("lora.r", self.r)
        positive("lora.alpha", self.alpha)
        if self.init_from is not None and not re.fullmatch("[0-9a-f]{12}", self.init_from):
            raise UserError(f"lora.init_from={self.init_from} is no trial: give the twelve digits of one.")
        between("lora.dropout", self.dropout, 0, 0.95)
