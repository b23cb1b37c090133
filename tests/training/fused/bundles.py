"""Bundles on the tiny model for the tests of the fused engine."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from persona_exp.modeling.base import load_model
from persona_exp.modeling.bundle.product import Product, add_slices
from persona_exp.modeling.bundle.shared import Shared
from persona_exp.modeling.chat import Encoded
from persona_exp.training.fused.lane import Lane, Step
from persona_exp.training.fused.recipe import Recipe
from persona_exp.training.fused.tick import tick

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

# Four trials that differ in all that may differ.
FOUR: tuple[dict[str, Any], ...] = (
    {"seed": 1, "r": 8},
    {"seed": 2, "r": 4, "lr": 3e-4, "dropout": 0.1, "effective_batch_size": 6},
    {"seed": 3, "r": 16, "dropout": 0.3, "target_modules": ("q_proj", "o_proj"), "lr_schedule": "linear", "max_grad_norm": 0.1},
    {"seed": 4, "r": 2, "effective_batch_size": 2, "rslora": True, "weight_decay": 0.1, "loraplus_lr_ratio": 4.0},
)


def recipe(**changes: Any) -> Recipe:
    """A trial's recipe, LoRA on all projections without dropout unless told otherwise."""
    usual = {
        "seed": 1,
        "r": 8,
        "alpha": 16.0,
        "dropout": 0.0,
        "rslora": False,
        "target_modules": TARGETS,
        "optimizer": "adamw_torch",
        "lr": 1e-3,
        "lr_schedule": "cosine",
        "weight_decay": 0.01,
        "beta1": 0.9,
        "beta2": 0.999,
        "max_grad_norm": 1.0,
        "max_steps": 50,
        "warmup_steps": 3,
        "effective_batch_size": 4,
    }
    return Recipe(**{**usual, **changes})


def examples(seed: int, count: int, longest: int = 40) -> list[Encoded]:
    """Random conversations of 8 to `longest` tokens, the second half of each supervised."""
    draw = random.Random(seed)
    made = []
    for _ in range(count):
        ids = [draw.randrange(4, 300) for _ in range(draw.randint(8, longest))]
        made.append(Encoded(ids, [-100] * (len(ids) // 2) + ids[len(ids) // 2 :], shortened=False, cut=False))
    return made


def base(folder: Path, dtype: torch.dtype = torch.float64) -> Any:
    """The tiny model in this precision."""
    return load_model(folder, "none", False, "float32", "sdpa").to(dtype)


class Bundle:
    """Lanes 0, 1, … on one base model, of those in `present`."""

    def __init__(
        self, model: Any, recipes: Sequence[Recipe], present: Sequence[int], *, row_tokens: int = 512, product: Product = add_slices
    ) -> None:
        self.shared, self.row_tokens = Shared(model, product), row_tokens
        self.lanes = [Lane(number, model, examples(number, 12 + number), recipes[number]) for number in present]
        for lane in self.lanes:
            self.shared.join(lane.number, lane.adapter)

    def run(self, steps: int) -> dict[int, list[Step]]:
        """Let the lanes that are not done take so many steps; each lane's."""
        told: dict[int, list[Step]] = {lane.number: [] for lane in self.lanes}
        for _ in range(steps):
            for number, step in tick(self.shared, [lane for lane in self.lanes if not lane.done], self.row_tokens).items():
                assert isinstance(step, Step)
                told[number].append(step)
        return told

    def weights(self) -> dict[int, torch.Tensor]:
        """All weights of each lane, one behind the other."""
        return {lane.number: torch.cat([one.detach().clone() for one in lane.adapter.parameters()]) for lane in self.lanes}
