"""Slots on a shared model: a layer that is computed again gives the same bits and keeps less."""

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from persona_exp.modeling.model_loading import load_model
from persona_exp.modeling.multi_lora.concatenated_lora_product import ConcatenatedProduct
from persona_exp.modeling.multi_lora.flat_lora_adapter import Adapter, target_projections
from persona_exp.modeling.multi_lora.lora_product import Segment, add_one_by_one, add_padded, add_slices
from persona_exp.modeling.multi_lora.row_tensors import Document, Row
from persona_exp.modeling.multi_lora.shared_model import SharedModel

NAMES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def slots(model: Any, **shared: Any) -> tuple[SharedModel, list[Adapter]]:
    """Two adapters of different rank and dropout; B is not zero."""
    bundle = SharedModel(model, **shared)
    adapters = []
    for slot, (r, dropout) in enumerate([(4, 0.1), (8, 0.3)]):
        one = Adapter(target_projections(model, NAMES), r=r, alpha=16.0, dropout=dropout, rslora=False, seed=slot, device=bundle.device)
        with torch.no_grad():
            one.b.copy_(torch.randn(one.b.shape, generator=torch.Generator().manual_seed(slot)) / 20)
        bundle.join(slot, one)
        adapters.append(one)
    return bundle, adapters


def row(bundle: SharedModel) -> Row:
    lengths = [(0, 9), (0, 30), (1, 17), (1, 31), (1, 5)]
    documents = [Document(slot, range(5, 5 + n), range(5, 5 + n), step=2, example=at) for at, (slot, n) in enumerate(lengths)]
    return Row(documents, bundle.device)


@contextmanager
def counted() -> Iterator[list[int]]:
    """The bytes that autograd keeps within this block, each storage once."""
    storages: dict[int, torch.UntypedStorage] = {}
    total: list[int] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield total
    total.append(sum(one.nbytes() for one in storages.values()))


def gradients(tiny: Path, quantisation: str, draws_by_layer: bool = False, **shared: Any) -> tuple[torch.Tensor, list[torch.Tensor], int]:
    """Of a loss over all states: the states, each slot's gradients, and the bytes that were kept."""
    bundle, adapters = slots(load_model(tiny, quantisation, False, "bfloat16", "sdpa"), **shared)
    bundle.draws_by_layer = draws_by_layer
    with counted() as kept:
        states = bundle.hidden_states(row(bundle), training=True)
    weights = torch.randn(states.shape, generator=torch.Generator().manual_seed(1)).to(bundle.device)
    # What comes between a row and its backward pass is not what is computed again.
    with torch.no_grad():
        bundle.hidden_states(Row([Document(1, range(3, 40), range(3, 40))], bundle.device), training=False)
    (states * weights).sum().backward()
    return states.detach(), [one.grad for adapter in adapters for one in adapter.parameters()], kept[0]


@pytest.mark.parametrize("quantisation", ["none", "nf4"])
@pytest.mark.parametrize("product", [add_one_by_one, add_slices, add_padded, ConcatenatedProduct()])
@pytest.mark.parametrize("draws_by_layer", [False, True])
def test_computed_again_it_is_the_same_bits_with_less_kept(tiny, product, quantisation, draws_by_layer):
    states, grads, kept = gradients(tiny, quantisation, draws_by_layer, product=product)
    again, grads_again, kept_again = gradients(tiny, quantisation, draws_by_layer, product=product, recompute=True)
    assert torch.equal(states, again)
    assert all(torch.equal(one, other) for one, other in zip(grads, grads_again, strict=True))
    assert all(one.abs().sum() > 0 for one in grads)
    # The final norm's segment stays; both layers keep their input alone.
    assert kept_again < kept / 4


@pytest.mark.parametrize("draws_by_layer", [False, True])
@pytest.mark.parametrize("product", [add_slices, add_padded, ConcatenatedProduct()])
def test_slots_of_unlike_targets_and_dropout_are_computed_as_defined(tiny, product, draws_by_layer):
    unlike = [(4, 0.1, NAMES), (8, 0.0, ("q_proj", "down_proj")), (2, 0.3, ("q_proj", "k_proj", "up_proj"))]
    found = []
    for way in (product, add_one_by_one):
        bundle = SharedModel(load_model(tiny, "none", False, "float32", "sdpa").double(), way)
        bundle.draws_by_layer = draws_by_layer
        adapters = []
        for slot, (r, dropout, names) in enumerate(unlike):
            shapes = target_projections(bundle.model, names)
            adapters.append(Adapter(shapes, r=r, alpha=16.0, dropout=dropout, rslora=False, seed=slot, dtype=torch.float64))
            with torch.no_grad():
                adapters[-1].b.copy_(torch.randn(adapters[-1].b.shape, generator=torch.Generator().manual_seed(slot)) / 20)
            bundle.join(slot, adapters[-1])
        # Slot 3 has no adapter.
        lengths = [(3, 4), (1, 9), (1, 30), (0, 17), (2, 31), (2, 5)]
        documents = [Document(slot, range(5, 5 + n), range(5, 5 + n), example=at) for at, (slot, n) in enumerate(lengths)]
        states = bundle.hidden_states(Row(documents), training=True)
        states.square().sum().backward()
        found.append([states.detach(), *(one.grad for adapter in adapters for one in adapter.parameters())])
    for ours, plain in zip(*found, strict=True):
        assert float((ours - plain).norm()) <= 1e-9 * float(plain.norm())


@pytest.mark.parametrize("spoilt", [torch.nan, 1e30])
def test_side_by_side_a_slot_that_is_not_finite_leaves_the_bits_of_the_others(tiny, spoilt):
    product = ConcatenatedProduct()

    def computed(b: float | None) -> list[torch.Tensor]:
        bundle, adapters = slots(load_model(tiny, "none", False, "bfloat16", "sdpa"), product=product)
        if b is not None:
            with torch.no_grad():
                adapters[0].b.fill_(b)
        states = bundle.hidden_states(row(bundle), training=True)
        states.sum().backward()
        its = [states.detach()[:39], *(one.grad for one in adapters[0].parameters())]
        assert all(one.isfinite().all() for one in its) == (b is None)
        return [states.detach()[39:], *(one.grad for one in adapters[1].parameters())]

    for sound, beside in zip(computed(None), computed(spoilt), strict=True):
        assert torch.equal(sound, beside)


def test_speaking_side_by_side_is_speaking_by_slices(tiny):
    model = load_model(tiny, "none", False, "float32", "sdpa")
    bundle, _ = slots(model, product=ConcatenatedProduct())
    ids = torch.arange(5, 45).reshape(5, 8)
    found = []
    for product in (bundle.product, add_slices):
        bundle.product = product
        # Slot 2 has no adapter.
        with torch.no_grad(), bundle.activate_adapters([0, 0, 2, 1, 1]):
            found.append(model(input_ids=ids).logits)
            found.append(model(input_ids=ids[:, :1]).logits)
    assert torch.allclose(found[0], found[2], atol=1e-5)
    assert torch.allclose(found[1], found[3], atol=1e-5)


@pytest.mark.parametrize("recompute", [False, True])
def test_masks_are_let_go_of_where_they_are_drawn_again(tiny, recompute):
    masks = []

    def watched(x: torch.Tensor, y: torch.Tensor, segments: Sequence[Segment]) -> torch.Tensor:
        masks.extend(weakref.ref(segment.mask) for segment in segments)
        return add_slices(x, y, segments)

    bundle, _ = slots(load_model(tiny, "none", False, "bfloat16", "sdpa"), product=watched, recompute=recompute)
    states = bundle.hidden_states(row(bundle), training=True)
    # Two slots on seven projections of two layers.
    assert len(masks) == 28
    assert {mask() is None for mask in masks} == {recompute}
    states.sum().backward()
    assert len(masks) == (56 if recompute else 28)


def test_a_row_without_training_keeps_and_drops_nothing(tiny):
    bundle, _ = slots(load_model(tiny, "none", False, "float32", "sdpa"), recompute=True)
    with torch.no_grad(), counted() as kept:
        states = bundle.hidden_states(row(bundle), training=False)
    assert kept == [0]
    assert not torch.equal(states, bundle.hidden_states(row(bundle), training=True).detach())


def test_layers_are_left_as_they_were(tiny):
    model = load_model(tiny, "none", False, "float32", "sdpa")
    bundle, _ = slots(model)
    before = [vars(module).get("forward") for module in model.modules()]
    bundle.recompute = True
    bundle.hidden_states(row(bundle), training=True).sum().backward()
    assert [vars(module).get("forward") for module in model.modules()] == before
    assert model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("family", ["Qwen2", "Qwen3", "Mistral", "Gemma", "Gemma3"])
def test_every_family_has_its_layers_computed_again(family):
    import transformers

    config = getattr(transformers, {"Gemma3": "Gemma3TextConfig"}.get(family, f"{family}Config"))(
        vocab_size=99,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
    )
    torch.manual_seed(0)
    bundle, adapters = slots(getattr(transformers, f"{family}ForCausalLM")(config))
    found = []
    for recompute in (False, True):
        bundle.recompute = recompute
        for adapter in adapters:
            adapter.zero_grad()
        with counted() as kept:
            states = bundle.hidden_states(row(bundle), training=True)
        states.square().sum().backward()
        found.append((states.detach(), *(one.grad.clone() for adapter in adapters for one in adapter.parameters()), kept[0]))
    *once, kept_once = found[0]
    *twice, kept_twice = found[1]
    assert all(torch.equal(one, other) for one, other in zip(once, twice, strict=True))
    assert kept_twice < kept_once / 4
