"""One frozen base model that many adapters share: each token of a row is computed with its own lane's."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch

from persona_exp.modeling.bundle import attention
from persona_exp.modeling.bundle.adapter import Adapter, Pair, projections
from persona_exp.modeling.bundle.choice import Suited
from persona_exp.modeling.bundle.dropout import dropped, kept
from persona_exp.modeling.bundle.masks import Dropping, Masks, columns
from persona_exp.modeling.bundle.product import Part, Product
from persona_exp.modeling.bundle.recomputation import computed_twice, decoder_layers
from persona_exp.modeling.bundle.row import Row, Span

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Shared:
    """`model`, frozen, with lanes that join and leave. `product` computes the low-rank products, in the way that suits unless told.

    With `recompute`, which may be set between rows, a decoder layer keeps its input alone and is computed again in the backward pass:
    half as much time again, the same bits, and one layer's activations instead of all layers'.
    """

    def __init__(self, model: "PreTrainedModel", product: Product | None = None, recompute: bool = False) -> None:
        model.requires_grad_(False)
        model.eval()  # type: ignore[no-untyped-call]
        embeddings: Any = model.get_input_embeddings()
        self.model = model
        self.device: torch.device = embeddings.weight.device
        self.product = product or Suited()
        self.recompute = recompute
        # A CPU draws by itself, and for each projection: bits that are the same everywhere.
        self.draws_by_layer = self.device.type != "cpu"
        self._adapters: dict[int, Adapter] = {}
        self._projections: dict[str, Projection] = {}
        self._speakers: list[int] = []
        self._row: Row | None = None
        self._training = False
        self._columns = columns(projections(model))
        self._masks: Masks | None = None

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
        if isinstance(self.product, Suited):
            self.product.forget()

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
        spans = [(span, self._pair(span.lane, module)) for span in self._row.spans] if self._row else []
        own = [(span, pair) for span, pair in spans if pair]
        drops = self._training and any(pair.dropout for _, pair in own)
        row_kept = self._masks.of(module) if self._masks and drops else None
        return [self._part(span, pair, x.shape[1], row_kept) for span, pair in own]

    def _part(self, span: Span, pair: Pair, inputs: int, row_kept: torch.Tensor | None) -> Part:
        if not (self._training and pair.dropout):
            return Part(pair, span.start, span.end, row_kept=row_kept)
        probability = dropped(pair.dropout)
        if row_kept is None:
            mask = kept(span.documents, seed=pair.seed, layer=pair.module, inputs=inputs, probability=probability).to(self.device)
        else:
            mask = row_kept[span.start : span.end]
        return Part(pair, span.start, span.end, mask, 1 / (1 - probability), row_kept)

    def _pair(self, lane: int, module: str) -> Pair | None:
        adapter = self._adapters.get(lane)
        return adapter.pairs.get(module) if adapter else None

    def _spoken(self, module: str, width: int) -> list[Part]:
        """The parts of a batch whose rows are `width` tokens long."""
        found, row = [], 0
        for lane, rows in groupby(self._speakers):
            start, row = row, row + len(list(rows))
            pair = self._pair(lane, module)
            found += [Part(pair, start * width, row * width)] if pair else []
        return found

    @contextmanager
    def _computing(self, row: Row, training: bool) -> Iterator[None]:
        """Within this block projections see `row`, and attention stays within its documents."""
        config: Any = self.model.config
        before = self._row, self._training, self._masks, config._attn_implementation
        masks = self._drawing(row) if training and self.draws_by_layer else None
        self._row, self._training, self._masks, config._attn_implementation = row, training, masks, attention.NAME
        try:
            yield
        finally:
            # The backward pass has all it needs.
            self._row, self._training, self._masks, config._attn_implementation = before

    def _drawing(self, row: Row) -> Masks | None:
        adapters = {span.lane: self._adapters.get(span.lane) for span in row.spans}
        lanes = {lane: Dropping(one.seed, one.dropout, one.pairs) for lane, one in adapters.items() if one and one.dropout}
        return Masks(row, lanes, self._columns, self.device) if lanes else None

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
