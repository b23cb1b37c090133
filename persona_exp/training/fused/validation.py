"""The loss of a lane on examples that it does not learn from, and when that tells it to stop."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file

from persona_exp.modeling.bundle.row import Document
from persona_exp.modeling.bundle.shared import Shared
from persona_exp.training.fused.row_pass import Nats, NoRoom, measure, rows
from persona_exp.training.interruption import Interruption
from persona_exp.training.labels import IGNORED

if TYPE_CHECKING:
    from persona_exp.modeling.bundle.adapter import Adapter
    from persona_exp.modeling.chat import Encoded

BEST = "best_adapter.safetensors"


class Validation:
    """`encoded` are looked at every `every` steps and after the last one.

    With `patience`, so many looks in a row without a lower loss are enough, and the adapter of the lowest loss is the one that counts
    (Prechelt 1998, doi:10.1007/3-540-49430-8_3, there UP and without a threshold).
    """

    def __init__(self, encoded: Sequence["Encoded"], every: int, patience: int | None = None) -> None:
        self.encoded, self.every, self.patience = encoded, every, patience
        self.looked_at = self.best_step = self.in_vain = 0
        self.best_loss: float | None = None
        self.best: dict[str, torch.Tensor] | None = None

    @property
    def enough(self) -> bool:
        """Whether the lane is to stop."""
        return self.patience is not None and self.in_vain >= self.patience

    def due(self, step: int, last: int) -> bool:
        """Whether it is time to look, after `step` of `last` steps."""
        return self.looked_at < step and (step % self.every == 0 or step >= last)

    def looked(self, step: int, loss: float, adapter: "Adapter") -> None:
        """Note what `adapter` has come to. A loss that is not finite is not lower than any; as the first it is a FloatingPointError."""
        self.looked_at = step
        if self.best_loss is None and not math.isfinite(loss):
            raise FloatingPointError(f"The validation loss after step {step} is {loss}: lower optim.lr.")
        if self.best_loss is None or loss < self.best_loss:
            self.best_loss, self.best_step, self.in_vain = loss, step, 0
            if self.patience is not None:
                self.best = {name: tensor.detach().cpu().clone() for name, tensor in adapter.tensors().items()}
        else:
            self.in_vain += 1

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the best adapter to `folder`; the rest of what is needed to go on."""
        if self.best is not None:
            save_file(self.best, folder / BEST)
        return {"looked_at": self.looked_at, "best_step": self.best_step, "best_loss": self.best_loss, "in_vain": self.in_vain}

    def load(self, folder: Path, state: dict[str, Any]) -> None:
        """Go on from what `save` wrote and returned."""
        self.looked_at, self.best_step = int(state["looked_at"]), int(state["best_step"])
        self.best_loss, self.in_vain = state["best_loss"], int(state["in_vain"])
        self.best = load_file(folder / BEST) if (folder / BEST).is_file() else None


def validation_loss(shared: Shared, lane: int, encoded: Sequence["Encoded"], row_tokens: int, interruption: Interruption) -> float:
    """Mean nats of the supervised tokens of `encoded` as `lane` computes them, without dropout.

    Rows hold this lane alone, so that its company has no part in it. Where they have no room they are made shorter; NoRoom is raised where
    not even a document has any, and Interrupted when asked to leave.
    """
    documents = [Document(lane, one.input_ids, one.labels, 0, number) for number, one in enumerate(encoded)]
    longest = max(len(one.input_ids) for one in documents)
    nats = None
    while nats is None:
        try:
            nats = _passed(shared, documents, row_tokens, interruption)
        except NoRoom:
            if row_tokens <= longest:
                raise
            row_tokens = max(row_tokens // 2, longest)
    return nats.told()[lane] / sum(label != IGNORED for one in encoded for label in one.labels[1:])


def _passed(shared: Shared, documents: Sequence[Document], row_tokens: int, interruption: Interruption) -> Nats:
    nats = Nats()
    for row in rows(documents, row_tokens):
        interruption.raise_if_requested()
        measure(shared, row, nats)
    return nats
