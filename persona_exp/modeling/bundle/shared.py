"""One frozen base model that many adapters share: each token of a row is computed with its own lane's."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch

from persona_exp.modeling.bundle import attention
from persona_exp.modeling.bundle.adapter import Adapter
from persona_exp.modeling.bundle.dropout import dropped, kept
from persona_exp.modeling.bundle.product import Part, Product, add_slices
from persona_exp.modeling.bundle.recomputation import computed_twice, decoder_layers
from persona_exp.modeling.bundle.row import Row

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Shared:
    """`model`, frozen, with lanes that join and leave. `product` computes the low-rank products.

    With `recompute`, which may be set between rows, a decoder layer keeps its input alone and is computed again in the backward pass:
    half as much time again, the same bits, and one layer's activations instead of all layers'.
    """

    def __init__(self, model: "PreTrainedModel", product: Product = add_slices, recompute: bool = False) -> None:
        model.requires_grad_(False)
        model.eval()  # type: ignore[no-untyped-call]
        embeddings: Any = model.get_input_embeddings()
        self.model = model
        self.device: torch.device = embeddings.weight.device
        self.product = product
        self.recompute = recompute
        self._adapters: dict[int, Adapter] = {}
        self._projections: dict[str, Projection] = {}
        self._speakers: list[int] = []
        self._row: Row | None = None
        self._training = False

    def join(self, lane: int, adapter: Adapter) -> None:
        """Compute the tokens of `lane` with `adapter` from now on."""
        self._adapters[lane] = adapter
        for name in adapter.pairs:
            if name not in self._projections:
                self._projections[name] = Projection(self.model.get_submodule(name), name, self)
                self.model.set_submodule(name, self._projections[name])

    def leave(self, lane: int) -> None:
        """Forget a lane's adapter, if it has one: its tokens are the base model's then."""
        self._adapters.pop(lane, None)

    def hidden(self, row: Row, *, training: bool) -> torch.Tensor:
        """The last layer's states [tokens, hidden size], normalised, ready for the output head; dropout only in `training`."""
        documents = attention.documents_of(row.lengths, self.device)
        twice = self.recompute and training
        with self._computing(row, training), self._computed_twice(row) if twice else nullcontext():
            output: Any = self.model.base_model(
                input_ids=row.input_ids, position_ids=row.position_ids, use_cache=False, documents=documents
            )
        states: torch.Tensor = output.last_hidden_state[0]
        return states

    @contextmanager
    def speaking(self, lanes: Sequence[int]) -> Iterator[None]:
        """Within this block `model`, called as any other, computes row n of a batch with the adapter of `lanes[n]`, and without dropout.
        Rows of one lane must stand together."""
        self._speakers = list(lanes)
        try:
            yield
        finally:
            self._speakers = []

    def parts(self, module: str, x: torch.Tensor) -> list[Part]:
        """What the lanes add to the projection `module`, whose input is `x` [tokens, inputs]."""
        if self._speakers:
            return self._spoken(module, len(x) // len(self._speakers))
        found = []
        for span in self._row.spans if self._row else ():
            adapter = self._adapters.get(span.lane)
            pair = adapter.pairs.get(module) if adapter else None
            if pair is None:
                continue
            mask, grown = None, 1.0
            if self._training and pair.dropout:
                probability = dropped(pair.dropout)
                mask = kept(span.documents, seed=pair.seed, layer=module, inputs=x.shape[1], probability=probability, device=self.device)
                grown = 1 / (1 - probability)
            found.append(Part(pair, span.start, span.end, mask, grown))
        return found

    def _spoken(self, module: str, width: int) -> list[Part]:
        """The parts of a batch whose rows are `width` tokens long."""
        found, row = [], 0
        for lane, rows in groupby(self._speakers):
            start, row = row, row + len(list(rows))
            adapter = self._adapters.get(lane)
            pair = adapter.pairs.get(module) if adapter else None
            found += [Part(pair, start * width, row * width)] if pair else []
        return found

    @contextmanager
    def _computing(self, row: Row, training: bool) -> Iterator[None]:
        """Within this block projections see `row`, and attention stays within its documents."""
        config: Any = self.model.config
        before = self._row, self._training, config._attn_implementation
        self._row, self._training, config._attn_implementation = row, training, attention.NAME
        try:
            yield
        finally:
            # The backward pass has all it needs.
            self._row, self._training, config._attn_implementation = before

    def _computed_twice(self, row: Row) -> AbstractContextManager[None]:
        return computed_twice(decoder_layers(self.model), lambda: self._computing(row, True))


class Projection(torch.nn.Module):
    """A frozen projection and, on top, the products of the lanes that target it."""

    def __init__(self, base: torch.nn.Module, name: str, shared: Shared) -> None:
        super().__init__()
        self.base = base
        # Not as attributes of a module, which would make the model a part of itself.
        self._of = (name, shared)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [1, tokens, inputs] → [1, tokens, outputs]."""
        name, shared = self._of
        # Flat before the base, so that what it returns is no view and may be added to in place.
        flat = x.flatten(0, -2)
        y: torch.Tensor = self.base(flat)
        parts = shared.parts(name, flat)
        return (shared.product(flat, y, parts) if parts else y).reshape(*x.shape[:-1], -1)
