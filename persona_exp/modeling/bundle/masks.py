"""Dropout of a row on a device: one draw for each document and decoder layer, a range of its columns for each of the layer's projections.

What a projection reads hangs on the model alone, and not on who targets what.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass

import torch

from persona_exp.modeling.bundle.dropout import draw_
from persona_exp.modeling.bundle.row import Row


@dataclass(frozen=True)
class Columns:
    """Those of a projection in its layer's draw, which has `width` of them."""

    layer: str
    start: int
    end: int
    width: int


def columns(projections: Mapping[str, tuple[int, int]]) -> dict[str, Columns]:
    """Of each of a model's `projections` (name → inputs, outputs), in their order."""
    widths: dict[str, int] = {}
    starts = {}
    for name, (inputs, _) in projections.items():
        starts[name] = widths.setdefault(layer_of(name), 0)
        widths[layer_of(name)] += inputs
    return {name: Columns(layer_of(name), start, start + projections[name][0], widths[layer_of(name)]) for name, start in starts.items()}


def layer_of(module: str) -> str:
    """The name of the decoder layer that `module` is in: model.layers.3.self_attn.q_proj → model.layers.3; itself where it is in none."""
    names = module.split(".")
    numbered = next((at for at, name in enumerate(names) if name.isdigit()), len(names) - 1)
    return ".".join(names[: numbered + 1])


@dataclass(frozen=True)
class Dropping:
    """What a lane drops of the inputs of the modules that it `targets`."""

    seed: int
    probability: float
    targets: Container[str]


class Masks:
    """Those of one row in which some of `lanes` drop something, with the columns of all projections. It holds one layer's at a time."""

    def __init__(self, row: Row, lanes: Mapping[int, Dropping], of: Mapping[str, Columns], device: "torch.device | str") -> None:
        self._row, self._lanes, self._columns = row, lanes, of
        self._generator = torch.Generator(device)
        self._layer, self._mask, self._whole = "", torch.empty(0), False

    def of(self, module: str) -> torch.Tensor:
        """What is kept of the module's input: bool [tokens, inputs], all of the tokens of lanes that drop nothing."""
        own = self._columns[module]
        if own.layer != self._layer:
            self._layer, self._mask = own.layer, self._drawn(own)
            names = [name for name, other in self._columns.items() if other.layer == own.layer]
            self._whole = all(any(name in lane.targets for lane in self._lanes.values()) for name in names)
        mask = self._mask[:, own.start : own.end]
        # A copy lets go of the columns that nobody needs.
        return mask if self._whole else mask.contiguous()

    def _drawn(self, of: Columns) -> torch.Tensor:
        mask = torch.ones((self._row.tokens, of.width), dtype=torch.bool, device=self._generator.device)
        for span in self._row.spans:
            lane = self._lanes.get(span.lane)
            if lane:
                rows = mask[span.start : span.end]
                draw_(rows, span.documents, seed=lane.seed, layer=of.layer, probability=lane.probability, generator=self._generator)
        return mask
