"""Dropout of a row on a device: one draw for each document and few decoder layers, a range of its columns for each of their projections.

What a projection reads hangs on the model alone, and not on who targets what.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass

import torch

from persona_exp.modeling.multi_lora.keyed_dropout import draw_mask_
from persona_exp.modeling.multi_lora.row_tensors import Row

# Decoder layers that share a draw: fewer draws, for more memory where activations are computed twice and masks are not kept.
LAYERS = 4


@dataclass(frozen=True)
class Columns:
    """The columns `start` to `end` of a projection in the draw of its `layers`, which has `width` of them."""

    layers: str
    start: int
    end: int
    width: int


def mask_columns(projections: Mapping[str, tuple[int, int]]) -> dict[str, Columns]:
    """Return the columns of each of a model's `projections` (name → inputs, outputs), in their order."""
    widths: dict[str, int] = {}
    starts = {}
    for name, (inputs, _) in projections.items():
        starts[name] = widths.setdefault(layer_group(name), 0)
        widths[layer_group(name)] += inputs
    return {
        name: Columns(layer_group(name), start, start + projections[name][0], widths[layer_group(name)]) for name, start in starts.items()
    }


def layer_group(module: str) -> str:
    """Return the decoder layers whose draw `module` is in, by the first of them: model.layers.6.self_attn.q_proj → model.layers.4; the
    module itself where it is in none."""
    names = module.split(".")
    numbered = next((at for at, name in enumerate(names) if name.isdigit()), None)
    return module if numbered is None else ".".join([*names[:numbered], str(int(names[numbered]) // LAYERS * LAYERS)])


@dataclass(frozen=True)
class SlotDropout:
    """The dropout of a slot, on the inputs of the modules that it `targets`."""

    seed: int
    probability: float
    targets: Container[str]


class DropoutMasks:
    """The masks of one row in which some of `slots` drop something; `of` are the columns of all projections. One draw is held at a time."""

    def __init__(self, row: Row, slots: Mapping[int, SlotDropout], of: Mapping[str, Columns], device: "torch.device | str") -> None:
        self._row, self._slots, self._columns = row, slots, of
        self._generator = torch.Generator(device)
        self._layers, self._mask, self._whole = "", torch.empty(0), False

    def of(self, module: str) -> torch.Tensor:
        """Return what is kept of the module's input: bool [tokens, inputs], all of the tokens of slots that drop nothing."""
        own = self._columns[module]
        if own.layers != self._layers:
            self._layers, self._mask = own.layers, self._drawn(own)
            names = [name for name, other in self._columns.items() if other.layers == own.layers]
            self._whole = all(any(name in slot.targets for slot in self._slots.values()) for name in names)
        mask = self._mask[:, own.start : own.end]
        # A copy frees the columns that no slot needs.
        return mask if self._whole else mask.contiguous()

    def _drawn(self, of: Columns) -> torch.Tensor:
        shape, device = (self._row.tokens, of.width), self._generator.device
        all_drop = all(span.slot in self._slots for span in self._row.spans)
        mask = torch.empty(shape, dtype=torch.bool, device=device) if all_drop else torch.ones(shape, dtype=torch.bool, device=device)
        for span in self._row.spans:
            slot = self._slots.get(span.slot)
            if slot:
                rows = mask[span.start : span.end]
                draw_mask_(rows, span.documents, seed=slot.seed, layer=of.layers, probability=slot.probability, generator=self._generator)
        return mask
