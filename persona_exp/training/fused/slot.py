"""A trial's place in a bundle: its own adapter, optimiser, schedule and step counter, beside others on one base model."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from safetensors.torch import load_file, save_file

from persona_exp.errors import UserError
from persona_exp.modeling.multi_lora.flat_lora_adapter import Adapter, target_projections
from persona_exp.modeling.multi_lora.row_tensors import Document
from persona_exp.modeling.supervised_token_mask import IGNORED_LABEL
from persona_exp.training.example_order import examples_of_step
from persona_exp.training.fused.adamw_optimizer import adamw
from persona_exp.training.fused.early_stopping import EarlyStopping
from persona_exp.training.hyperparameters import Hyperparameters
from persona_exp.training.learning_rate_schedule import learning_rate_scheduler
from persona_exp.training.non_finite_gradient import refuse_non_finite

if TYPE_CHECKING:
    from persona_exp.modeling.supervised_token_mask import Encoded

WEIGHTS, OPTIMIZER, STATE = "adapter_model.safetensors", "optimizer.pt", "lane.json"
# How an adapter's numbers lie in its flat tensors, which the optimiser's states follow: B by rank.
LAYOUT = 2


@dataclass(frozen=True)
class OptimizerStep:
    """An optimiser step: its number (from 1), the mean loss of its supervised tokens (nats), the gradient's norm before clipping, its
    learning rate, and how much it saw."""

    step: int
    loss: float
    grad_norm: float
    learning_rate: float
    epoch: float
    tokens: int
    supervised_tokens: int


@dataclass(frozen=True)
class BundleStep:
    """One step of each slot: `slots` took `seconds` for `tokens`, at most `row_tokens` of them at once; `number` counts."""

    seconds: float
    tokens: int
    slots: int
    row_tokens: int
    number: int = 0


@dataclass(frozen=True)
class ValidationResult:
    """The mean `loss` (nats) of one slot on its validation split, computed in `seconds`."""

    loss: float
    seconds: float


class SlotCallbacks(Protocol):
    """What is called of one slot. An error that one of these raises is given to its `failed`, and touches no other slot."""

    def stepped(self, step: OptimizerStep, bundle_step: BundleStep) -> None:
        """Take note of an optimiser step of the slot, which was a part of `bundle_step`."""

    def validated(self, result: ValidationResult) -> None:
        """Take note of a validation of the slot."""

    def given_up(self, bundle_steps: int) -> bool:
        """Return whether the slot, just validated, is given up: then it is saved as after the bundle's step number `bundle_steps`."""

    def checkpoint_due(self, bundle_steps: int, seconds: float) -> bool:
        """Return whether to save after the bundle's step number `bundle_steps`, `seconds` after the last checkpoint."""

    def save(self, bundle_steps: int) -> None:
        """Save a checkpoint of the slot as it is after the bundle's step number `bundle_steps`."""

    def finished(self) -> None:
        """Take note that the last step was taken."""

    def failed(self, error: Exception) -> None:
        """Take note that the slot cannot go on."""

    def left(self) -> None:
        """Free the slot: it is out of the bundle."""


class Slot:
    """Number `number` of a bundle, which trains on `encoded`. `step` counts its optimiser steps; `callbacks`, which the engine calls, are
    set by whose slot it is."""

    callbacks: SlotCallbacks

    def __init__(
        self,
        number: int,
        model: torch.nn.Module,
        encoded: Sequence["Encoded"],
        hyperparameters: Hyperparameters,
        early_stopping: EarlyStopping | None = None,
    ) -> None:
        self.number, self.encoded, self.hyperparameters, self.early_stopping = number, encoded, hyperparameters, early_stopping
        weight: Any = model.get_input_embeddings().weight  # type: ignore[operator]
        lora = hyperparameters.lora
        self.adapter = Adapter(
            target_projections(model, lora.target_modules),
            r=lora.r,
            alpha=lora.alpha,
            dropout=lora.dropout,
            rslora=lora.rslora,
            seed=hyperparameters.seed,
            # Adapters are in float32 whatever the base is in, unless that is finer still.
            dtype=torch.promote_types(weight.dtype, torch.float32),
            device=weight.device,
        )
        self.step = 0
        self._optimizer = adamw(self.adapter, hyperparameters.optimizer)
        self._launches = self.adapter.a.device.type == "cuda" and isinstance(self._optimizer, torch.optim.AdamW)
        self._schedule = learning_rate_scheduler(
            self._optimizer,
            lr_schedule=hyperparameters.optimizer.lr_schedule,
            warmup_steps=hyperparameters.warmup_steps,
            max_steps=hyperparameters.max_steps,
        )

    @property
    def done(self) -> bool:
        """Whether it needs neither a step nor a validation any more."""
        stops = self.early_stopping is not None and self.early_stopping.should_stop
        return (stops or self.step >= self.hyperparameters.last_step) and not self.validation_due

    @property
    def validation_due(self) -> bool:
        """Whether it must be validated before its next step."""
        return self.early_stopping is not None and self.early_stopping.due(self.step, self.hyperparameters.last_step)

    def final_adapter(self) -> dict[str, torch.Tensor]:
        """Return the adapter to publish once the slot is done, as `Adapter.tensors` names it."""
        best = self.early_stopping.best if self.early_stopping else None
        return best or self.adapter.tensors()

    def documents(self) -> list[Document]:
        """Return the documents of its next optimiser step."""
        own = self.hyperparameters
        numbers = examples_of_step(self.step, examples=len(self.encoded), effective_batch_size=own.effective_batch_size, seed=own.seed)
        return [Document(self.number, self.encoded[n].input_ids, self.encoded[n].labels, self.step, n) for n in numbers]

    def launch_step(self, coefficient: torch.Tensor, unusable: torch.Tensor) -> bool:
        """Give the device the optimiser step for the gradients that have been gathered, times `coefficient`, which it takes unless they are
        `unusable` (1, else 0), and wait for nothing. Return False where the optimiser has no such step: `complete_step` takes it."""
        if not self._launches:
            return False
        # As torch.amp.GradScaler hands them on, in float32: the kernel divides by the one, and moves nothing where the other is set.
        self._optimizer.grad_scale = coefficient.float().reciprocal()  # type: ignore[attr-defined]
        self._optimizer.found_inf = unusable.float()  # type: ignore[attr-defined]
        self._optimizer.step()
        return True

    def complete_step(self, nats: float, norm: float, coefficient: torch.Tensor | None, documents: Sequence[Document]) -> OptimizerStep:
        """Complete the optimiser step for which the gradients of `documents` have been gathered, times `coefficient` (None where the step
        has been launched); `nats` is their summed loss, and `norm` the gradient's norm.

        Raise FloatingPointError where the loss or the gradient is not finite; the weights then stay as they are.
        """
        supervised = supervised_tokens(documents)
        loss = nats / supervised
        refuse_non_finite(self.step + 1, loss, norm)
        rate = float(self._schedule.get_last_lr()[0])
        if coefficient is not None:
            for parameter in self.adapter.parameters():
                assert parameter.grad is not None
                parameter.grad.mul_(coefficient)
            self._optimizer.step()
        self._schedule.step()
        self.adapter.zero_grad()
        self.step += 1
        steps = math.ceil(len(self.encoded) / self.hyperparameters.effective_batch_size)
        tokens = sum(len(one.input_ids) for one in documents)
        return OptimizerStep(self.step, loss, norm, rate, self.step / steps, tokens, supervised)

    def save(self, folder: Path, facts: Mapping[str, Any]) -> None:
        """Write all that is needed to go on to `folder`, and `facts` with it."""
        folder.mkdir(parents=True)
        save_file(self.adapter.tensors(), folder / WEIGHTS)
        states = {"layout": LAYOUT, "optimizer": self._optimizer.state_dict(), "schedule": self._schedule.state_dict()}
        torch.save(states, folder / OPTIMIZER)
        validation = {"validation": self.early_stopping.save(folder)} if self.early_stopping else {}
        (folder / STATE).write_text(json.dumps({"step": self.step, **validation, **facts}, allow_nan=False) + "\n", encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Go on from what `save` wrote. Raise UserError where an earlier version of the engine wrote it, which had other states."""
        states = torch.load(folder / OPTIMIZER, map_location="cpu", weights_only=True)
        if states.get("layout") != LAYOUT:
            raise UserError(f"{folder} is of another version of engine=fused, which cannot be gone on with: train this trial anew.")
        self.adapter.load(load_file(folder / WEIGHTS))
        self._optimizer.load_state_dict(states["optimizer"])
        self._schedule.load_state_dict(states["schedule"])
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        self.step = int(state["step"])
        if self.early_stopping and "validation" in state:
            self.early_stopping.load(folder, state["validation"])

    def release(self) -> None:
        """Free the adapter and the optimiser's states, also while others refer to the slot."""
        del self.adapter, self._optimizer, self._schedule


def supervised_tokens(documents: Sequence[Document]) -> int:
    """Return how many tokens are learnt; the first of a document is predicted by nothing."""
    return sum(label != IGNORED_LABEL for document in documents for label in document.labels[1:])
