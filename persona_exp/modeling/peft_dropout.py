"""A PEFT model's dropout, drawn as `modeling/multi_lora/keyed_dropout.py` draws it: by seed, step, example, layer and token position.

PEFT's own draws from PyTorch's global generator, so that another micro-batch is another training.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from persona_exp.errors import UserError
from persona_exp.modeling.multi_lora.dropout_masks import DropoutMasks, SlotDropout, mask_columns
from persona_exp.modeling.multi_lora.keyed_dropout import effective_probability, keyed_mask
from persona_exp.modeling.multi_lora.row_tensors import Document, Row

if TYPE_CHECKING:
    from peft import PeftModel

INSIDE = ".base_layer"


class Batch:
    """The examples computed now: `documents`, one a row, filled up at its end to `width` tokens. Without any nothing is dropped."""

    def __init__(self, layers: dict[str, tuple[int, int]], dropping: SlotDropout) -> None:
        self._columns, self._dropping = mask_columns(layers), dropping
        self.documents: Sequence[Document] = ()
        self.width = 0

    def show(self, documents: Sequence[Document], width: int, device: torch.device) -> None:
        """Set the examples computed from now on, also where activations are computed again in the backward pass."""
        self.documents, self.width = documents, width
        places = [row * width + token for row, one in enumerate(documents) for token in range(len(one.input_ids))]
        self._places = torch.tensor(places, device=device)
        # A CPU draws by itself, and for each layer: bits that are the same everywhere.
        drawn = bool(documents) and device.type != "cpu"
        self._masks = DropoutMasks(Row(documents, device), {0: self._dropping}, self._columns, device) if drawn else None

    def kept(self, layer: str, inputs: int) -> torch.Tensor:
        """Return the mask of the layer's input that is kept: bool [rows · width, inputs], False at padding."""
        if self._masks:
            mask = self._masks.of(layer)
        else:
            own = self._dropping
            mask = (
                keyed_mask(self.documents, seed=own.seed, layer=layer, inputs=inputs, probability=effective_probability(own.probability))
                != 0
            )
        whole = mask.new_zeros((len(self.documents) * self.width, inputs))
        return whole.index_copy_(0, self._places, mask)


class AdapterDropout(torch.nn.Module):
    """Dropout before the A of `layer`, whose input is [rows, width, inputs] or [rows · width, inputs]. Raise UserError if it is another."""

    def __init__(self, layer: str, probability: float, batch: Batch) -> None:
        super().__init__()
        self._layer, self._scale, self._batch = layer, 1 / (1 - effective_probability(probability)), batch

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, width = len(self._batch.documents), self._batch.width
        if not rows:
            return x
        if x.shape[:-1] not in ((rows, width), (rows * width,)):
            raise UserError(
                f"{self._layer} sees {' × '.join(map(str, x.shape[:-1]))} tokens of a batch of {rows} × {width}, so that its dropout "
                "would hang on the micro-batch: set lora.dropout=0, or other lora.target_modules."
            )
        mask = self._batch.kept(self._layer, x.shape[-1]).view(x.shape)
        return torch.where(mask, x, 0) * self._scale


def key_dropout(model: "PeftModel", seed: int) -> Batch:
    """Put `AdapterDropout` in the place of PEFT's in `model`. Return the batch whose masks they take."""
    from peft.tuners.lora import LoraLayer

    base: Any = model.get_base_model()
    adapted = {name: module for name, module in base.named_modules() if isinstance(module, LoraLayer)}
    probability = max((getattr(one, "p", 0.0) for module in adapted.values() for one in module.lora_dropout.values()), default=0.0)
    batch = Batch(_projections(base), SlotDropout(seed, probability, adapted))
    for name, module in adapted.items():
        for adapter, one in module.lora_dropout.items():
            if isinstance(one, torch.nn.Dropout) and one.p:
                module.lora_dropout[adapter] = AdapterDropout(name, one.p, batch)
    return batch


def _projections(base: torch.nn.Module) -> dict[str, tuple[int, int]]:
    """Return all projections of the base model, named as they are without adapters: name → inputs, outputs."""
    return {
        name.removesuffix(INSIDE): (int(module.in_features), int(module.out_features))
        for name, module in base.named_modules()
        if isinstance(module, torch.nn.Linear) and ".lora_" not in name
    }
