"""When a slot is validated, the best adapter so far, and when to stop early."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file

if TYPE_CHECKING:
    from persona_exp.modeling.multi_lora.flat_lora_adapter import Adapter
    from persona_exp.modeling.supervised_token_mask import Encoded

BEST = "best_adapter.safetensors"


class EarlyStopping:
    """A slot is validated on `encoded` every `every` steps and after the last one.

    With `patience`, so many validations in a row without a lower loss are enough, and the adapter of the lowest loss is the one that counts
    (Prechelt 1998, doi:10.1007/3-540-49430-8_3, there UP and without a threshold); without, it never stops.
    """

    def __init__(self, encoded: Sequence["Encoded"], every: int, patience: int | None = None) -> None:
        self.encoded, self.every, self.patience = encoded, every, patience
        self.validated_step = self.best_step = self.without_gain = 0
        self.best_loss: float | None = None
        self.best: dict[str, torch.Tensor] | None = None

    @property
    def should_stop(self) -> bool:
        """Whether patience has run out."""
        return self.patience is not None and self.without_gain >= self.patience

    def due(self, step: int, last: int) -> bool:
        """Return whether to validate after `step` of `last` steps."""
        return self.validated_step < step and (step % self.every == 0 or step >= last)

    def record(self, step: int, loss: float, adapter: "Adapter") -> None:
        """Record the validation loss of `adapter` after `step`. One that is not finite is not lower than any; raise FloatingPointError
        where the first is."""
        self.validated_step = step
        if self.best_loss is None and not math.isfinite(loss):
            raise FloatingPointError(f"The validation loss after step {step} is {loss}: lower optim.lr.")
        if self.best_loss is None or loss < self.best_loss:
            self.best_loss, self.best_step, self.without_gain = loss, step, 0
            if self.patience is not None:
                self.best = {name: tensor.detach().cpu().clone() for name, tensor in adapter.tensors().items()}
        else:
            self.without_gain += 1

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the best adapter to `folder`; return the rest of what is needed to go on."""
        if self.best is not None:
            save_file(self.best, folder / BEST)
        counts = {"looked_at": self.validated_step, "best_step": self.best_step}
        return {**counts, "best_loss": self.best_loss, "in_vain": self.without_gain}

    def load(self, folder: Path, state: dict[str, Any]) -> None:
        """Go on from what `save` wrote and returned."""
        self.validated_step, self.best_step = int(state["looked_at"]), int(state["best_step"])
        self.best_loss, self.without_gain = state["best_loss"], int(state["in_vain"])
        self.best = load_file(folder / BEST) if (folder / BEST).is_file() else None
