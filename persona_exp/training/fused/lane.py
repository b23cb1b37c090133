"""A trial's place in a bundle: its own adapter, optimiser, schedule and step counter, beside others on one base model."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from transformers import get_scheduler

from persona_exp.modeling.bundle.adapter import Adapter, targets
from persona_exp.modeling.bundle.row import Document
from persona_exp.training.fused.optimizer import optimizer
from persona_exp.training.fused.order import window
from persona_exp.training.fused.recipe import Recipe
from persona_exp.training.fused.validation import Validation
from persona_exp.training.labels import IGNORED

if TYPE_CHECKING:
    from persona_exp.modeling.chat import Encoded

WEIGHTS, OPTIMIZER, STATE = "adapter_model.safetensors", "optimizer.pt", "lane.json"


@dataclass(frozen=True)
class Step:
    """An optimiser step: its number (from 1), the mean loss of its supervised tokens (nats), the gradient's norm before clipping, the rate
    that it was taken with, and what it saw."""

    step: int
    loss: float
    grad_norm: float
    learning_rate: float
    epoch: float
    tokens: int
    supervised_tokens: int


class Lane:
    """Number `number` of a bundle. `step` counts its optimiser steps."""

    def __init__(
        self, number: int, model: torch.nn.Module, encoded: Sequence["Encoded"], recipe: Recipe, validation: Validation | None = None
    ) -> None:
        self.number, self.encoded, self.recipe, self.validation = number, encoded, recipe, validation
        weight: Any = model.get_input_embeddings().weight  # type: ignore[operator]
        self.adapter = Adapter(
            targets(model, recipe.target_modules),
            r=recipe.r,
            alpha=recipe.alpha,
            dropout=recipe.dropout,
            rslora=recipe.rslora,
            seed=recipe.seed,
            # Adapters are in float32 whatever the base is in, unless that is finer still.
            dtype=torch.promote_types(weight.dtype, torch.float32),
            device=weight.device,
        )
        self.step = 0
        self._optimizer = optimizer(self.adapter, recipe)
        self._schedule = get_scheduler(recipe.lr_schedule, self._optimizer, recipe.warmup_steps, recipe.max_steps)

    @property
    def done(self) -> bool:
        enough = self.validation is not None and self.validation.enough
        return (enough or self.step >= self.recipe.max_steps) and not self.validation_due

    @property
    def validation_due(self) -> bool:
        """Whether it must be looked at before it goes on."""
        return self.validation is not None and self.validation.due(self.step, self.recipe.max_steps)

    def result(self) -> dict[str, torch.Tensor]:
        """The adapter that counts once the lane is done, as `Adapter.tensors` names it."""
        best = self.validation.best if self.validation else None
        return best or self.adapter.tensors()

    def window(self) -> list[Document]:
        """The documents of its next optimiser step."""
        recipe = self.recipe
        numbers = window(self.step, examples=len(self.encoded), effective_batch_size=recipe.effective_batch_size, seed=recipe.seed)
        return [Document(self.number, self.encoded[n].input_ids, self.encoded[n].labels, self.step, n) for n in numbers]

    def advance(self, nats: float, documents: Sequence[Document]) -> Step:
        """Take the optimiser step for which the gradients of `documents` have been gathered; `nats` is their summed loss.

        FloatingPointError where the loss or the gradient is not finite; the weights then stay as they are.
        """
        supervised = supervised_tokens(documents)
        parameters = self.adapter.parameters()
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, self.recipe.max_grad_norm))
        loss = nats / supervised
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise FloatingPointError(f"The loss of step {self.step + 1} is {loss}, its gradient's norm {norm}: lower optim.lr.")
        rate = float(self._schedule.get_last_lr()[0])
        self._optimizer.step()
        self._schedule.step()
        self.adapter.zero_grad()
        self.step += 1
        steps = math.ceil(len(self.encoded) / self.recipe.effective_batch_size)
        tokens = sum(len(one.input_ids) for one in documents)
        return Step(self.step, loss, norm, rate, self.step / steps, tokens, supervised)

    def save(self, folder: Path, **facts: Any) -> None:
        """Write all that is needed to go on to `folder`, and `facts` with it."""
        folder.mkdir(parents=True)
        save_file({name: tensor.contiguous() for name, tensor in self.adapter.tensors().items()}, folder / WEIGHTS)
        torch.save({"optimizer": self._optimizer.state_dict(), "schedule": self._schedule.state_dict()}, folder / OPTIMIZER)
        looks = {"validation": self.validation.save(folder)} if self.validation else {}
        (folder / STATE).write_text(json.dumps({"step": self.step, **looks, **facts}) + "\n", encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Go on from what `save` wrote."""
        self.adapter.load(load_file(folder / WEIGHTS))
        states = torch.load(folder / OPTIMIZER, map_location="cpu", weights_only=True)
        self._optimizer.load_state_dict(states["optimizer"])
        self._schedule.load_state_dict(states["schedule"])
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        self.step = int(state["step"])
        if self.validation and "validation" in state:
            self.validation.load(folder, state["validation"])


def supervised_tokens(documents: Sequence[Document]) -> int:
    """How many tokens are learnt; the first of a document is predicted by nothing."""
    return sum(label != IGNORED for document in documents for label in document.labels[1:])
