"""One frozen base model that many adapters share: each token of a row is computed with its own slot's."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch

from persona_exp.modeling.multi_lora import document_attention
from persona_exp.modeling.multi_lora.activation_recomputation import decoder_layers, recompute_in_backward
from persona_exp.modeling.multi_lora.dropout_masks import DropoutMasks, SlotDropout, mask_columns
from persona_exp.modeling.multi_lora.flat_lora_adapter import Adapter, LoraPair, projections
from persona_exp.modeling.multi_lora.keyed_dropout import effective_probability, keyed_mask
from persona_exp.modeling.multi_lora.lora_product import Product, Segment
from persona_exp.modeling.multi_lora.lora_product_selection import SelectedProduct
from persona_exp.modeling.multi_lora.recurrent_layers import recurrent_layers, run_by_document
from persona_exp.modeling.multi_lora.row_tensors import Row, Span

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class SharedModel:
    """`model`, frozen, with slots that join and leave. `product` computes the low-rank products; the one that suits unless given.

    With `recompute`, which may be set between rows, a decoder layer keeps its input alone and is computed again in the backward pass:
    half as much time again, the same bits, and one layer's activations instead of all layers'.
    """

    def __init__(self, model: "PreTrainedModel", product: Product | None = None, recompute: bool = False) -> None:
        model.requires_grad_(False)
        model.eval()  # type: ignore[no-untyped-call]
        embeddings: Any = model.get_input_embeddings()
        self.model = model
        self.device: torch.device = embeddings.weight.device
        self.product = product or SelectedProduct()
        self.recompute = recompute
        # A CPU draws by itself, and for each projection: bits that are the same everywhere.
        self.draws_by_layer = self.device.type != "cpu"
        self._adapters: dict[int, Adapter] = {}
        self._projections: dict[str, Projection] = {}
        self._batch_slots: list[int] = []
        self._spans: tuple[Span, ...] = ()
        # Lengths of the row's documents while they are computed together; where the one begins that is computed by itself.
        self._lengths: Sequence[int] | None = None
        self._start = 0
        self._training = False
        self._columns = mask_columns(projections(model))
        self._masks: DropoutMasks | None = None
        for layer in list(recurrent_layers(model)):
            layer.forward = run_by_document(layer.forward, lambda: self._lengths, self._only)

    def join(self, slot: int, adapter: Adapter) -> None:
        """Compute the tokens of `slot` with `adapter` from now on."""
        self._adapters[slot] = adapter
        for name in adapter.pairs:
            if name not in self._projections:
                self._projections[name] = Projection(self.model.get_submodule(name), name, self)
                self.model.set_submodule(name, self._projections[name])

    def leave(self, slot: int) -> None:
        """Drop a slot's adapter, if it has one: its tokens are the base model's then."""
        self._adapters.pop(slot, None)
        if isinstance(self.product, SelectedProduct):
            self.product.forget()

    def hidden_states(self, row: Row, *, training: bool) -> torch.Tensor:
        """Return the last layer's states [tokens, hidden size], normalised, ready for the output head; dropout only in `training`."""
        documents = document_attention.lay_out_documents(row.lengths, self.device)
        twice = self.recompute and training
        with self._computing(row, documents, training), self._recompute(row, documents) if twice else nullcontext():
            output: Any = self.model.base_model(input_ids=row.input_ids, position_ids=row.position_ids, use_cache=False)
        states: torch.Tensor = output.last_hidden_state.squeeze(0)
        return states

    @contextmanager
    def activate_adapters(self, slots: Sequence[int]) -> Iterator[None]:
        """Compute row n of a batch with the adapter of `slots[n]`, without dropout, where `model` is called as any other in this block.
        Rows of one slot must stand together."""
        self._batch_slots = list(slots)
        try:
            yield
        finally:
            self._batch_slots = []

    def segments(self, module: str, x: torch.Tensor) -> list[Segment]:
        """Return what the slots add to the projection `module`, whose input is `x` [tokens, inputs]."""
        if self._batch_slots:
            return self._batch_segments(module, len(x) // len(self._batch_slots))
        own = [(span, pair) for span in self._spans if (pair := self._pair(span.slot, module))]
        drops = self._training and any(pair.dropout for _, pair in own)
        row_mask = self._masks.of(module)[self._start : self._start + len(x)] if self._masks and drops else None
        return [self._segment(span, pair, x.shape[1], row_mask) for span, pair in own]

    def _segment(self, span: Span, pair: LoraPair, inputs: int, row_mask: torch.Tensor | None) -> Segment:
        if not (self._training and pair.dropout):
            return Segment(pair, span.start, span.end, row_mask=row_mask)
        probability = effective_probability(pair.dropout)
        if row_mask is None:
            mask = keyed_mask(span.documents, seed=pair.seed, layer=pair.module, inputs=inputs, probability=probability).to(self.device)
        else:
            mask = row_mask[span.start : span.end]
        return Segment(pair, span.start, span.end, mask, 1 / (1 - probability), row_mask)

    def _pair(self, slot: int, module: str) -> LoraPair | None:
        adapter = self._adapters.get(slot)
        return adapter.pairs.get(module) if adapter else None

    def _batch_segments(self, module: str, width: int) -> list[Segment]:
        """Return the segments of a batch whose rows are `width` tokens long."""
        found, row = [], 0
        for slot, rows in groupby(self._batch_slots):
            start, row = row, row + len(list(rows))
            pair = self._pair(slot, module)
            found += [Segment(pair, start * width, row * width)] if pair else []
        return found

    @contextmanager
    def _computing(
        self, row: Row, documents: document_attention.Documents, training: bool, masks: DropoutMasks | None = None
    ) -> Iterator[None]:
        """Have projections see `row`, and attention stay within its `documents`, in this block."""
        config: Any = self.model.config
        before = self._spans, self._lengths, self._training, self._masks, config._attn_implementation
        masks = masks or (self._draw_masks(row) if training and self.draws_by_layer else None)
        self._spans, self._lengths, self._training = row.spans, row.lengths, training
        self._masks, config._attn_implementation = masks, document_attention.ATTENTION_NAME
        try:
            with document_attention.within_documents(documents):
                yield
        finally:
            # The backward pass has all it needs.
            self._spans, self._lengths, self._training, self._masks, config._attn_implementation = before

    @contextmanager
    def _only(self, number: int) -> Iterator[None]:
        """Take the row's document of that number for the row in this block."""
        before = self._spans, self._lengths, self._start
        assert self._lengths is not None
        slot, document = [(span.slot, one) for span in self._spans for one in span.documents][number]
        length = self._lengths[number]
        self._start = sum(self._lengths[:number])
        self._spans, self._lengths = (Span(slot, 0, length, (document,)),), None
        try:
            with document_attention.within_documents(document_attention.lay_out_documents([length], self.device)):
                yield
        finally:
            self._spans, self._lengths, self._start = before

    def _draw_masks(self, row: Row) -> DropoutMasks | None:
        adapters = {span.slot: self._adapters.get(span.slot) for span in row.spans}
        slots = {slot: SlotDropout(one.seed, one.dropout, one.pairs) for slot, one in adapters.items() if one and one.dropout}
        return DropoutMasks(row, slots, self._columns, self.device) if slots else None

    def _recompute(self, row: Row, documents: document_attention.Documents) -> AbstractContextManager[None]:
        # Of the draws that layers share, one is made again for all of them.
        masks = self._draw_masks(row) if self.draws_by_layer else None
        return recompute_in_backward(decoder_layers(self.model), lambda: self._computing(row, documents, True, masks))


class Projection(torch.nn.Module):
    """A frozen projection and, on top, the products of the slots that target it."""

    def __init__(self, base: torch.nn.Module, name: str, shared: SharedModel) -> None:
        super().__init__()
        self.base = base
        # Not as attributes of a module, which would make the model a part of itself.
        self._of = (name, shared)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [1, tokens, outputs] of x [1, tokens, inputs]."""
        name, shared = self._of
        # Flat before the base, so that what it returns is no view and may be added to in place.
        flat = x.flatten(0, -2)
        y: torch.Tensor = self.base(flat)
        segments = shared.segments(name, flat)
        return (shared.product(flat, y, segments) if segments else y).reshape(*x.shape[:-1], -1)
