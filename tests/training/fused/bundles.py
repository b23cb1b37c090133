"""Bundles on the tiny model for the tests of the fused engine."""

import random
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from persona_exp.modeling.model_loading import load_model
from persona_exp.modeling.multi_lora.lora_product import Product, add_slices
from persona_exp.modeling.multi_lora.shared_model import SharedModel
from persona_exp.modeling.supervised_token_mask import Encoded
from persona_exp.training.fused.bundle_step import bundle_step
from persona_exp.training.fused.slot import OptimizerStep, Slot
from persona_exp.training.hyperparameters import Hyperparameters, LoraSettings, OptimizerSettings

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

# Four trials that differ in all that may differ.
FOUR: tuple[dict[str, Any], ...] = (
    {"seed": 1, "r": 8},
    {"seed": 2, "r": 4, "lr": 3e-4, "dropout": 0.1, "effective_batch_size": 6},
    {"seed": 3, "r": 16, "dropout": 0.3, "target_modules": ("q_proj", "o_proj"), "lr_schedule": "linear", "max_grad_norm": 0.1},
    {"seed": 4, "r": 2, "effective_batch_size": 2, "rslora": True, "weight_decay": 0.1, "loraplus_lr_ratio": 4.0},
)


def recipe(**changes: Any) -> Hyperparameters:
    """A trial's hyperparameters, LoRA on all projections without dropout unless `changes` say otherwise."""
    usual: dict[str, Any] = {
        "seed": 1,
        "r": 8,
        "alpha": 16.0,
        "dropout": 0.0,
        "rslora": False,
        "target_modules": TARGETS,
        "name": "adamw_torch",
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
    given = {**usual, **changes}
    lora, optimizer = (
        kind(**{one.name: given.pop(one.name) for one in fields(kind) if one.name in given}) for kind in (LoraSettings, OptimizerSettings)
    )
    return Hyperparameters(lora=lora, optimizer=optimizer, **given)


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
    """Slots 0, 1, … on one base model, of those in `present`."""

    def __init__(
        self,
        model: Any,
        recipes: Sequence[Hyperparameters],
        present: Sequence[int],
        *,
        row_tokens: int = 512,
        product: Product = add_slices,
    ) -> None:
        self.shared, self.row_tokens = SharedModel(model, product), row_tokens
        self.slots = [Slot(number, model, examples(number, 12 + number), recipes[number]) for number in present]
        for slot in self.slots:
            self.shared.join(slot.number, slot.adapter)

    def run(self, steps: int) -> dict[int, list[OptimizerStep]]:
        """Let the slots that are not done take so many steps; each slot's."""
        taken: dict[int, list[OptimizerStep]] = {slot.number: [] for slot in self.slots}
        for _ in range(steps):
            for number, step in bundle_step(self.shared, [slot for slot in self.slots if not slot.done], self.row_tokens).items():
                assert isinstance(step, OptimizerStep)
                taken[number].append(step)
        return taken

    def weights(self) -> dict[int, torch.Tensor]:
        """All weights of each slot, one behind the other."""
        return {slot.number: torch.cat([one.detach().clone() for one in slot.adapter.parameters()]) for slot in self.slots}
