"""A dequantised model is the 4-bit one: same numbers, plain projections, and nothing left of the 4-bit weights."""

import gc
import sys
import weakref
from typing import Any

import pytest
import torch

from persona_exp.modeling.model_loading import load_model
from persona_exp.modeling.multi_lora.flat_lora_adapter import Adapter, target_projections
from persona_exp.modeling.multi_lora.row_tensors import Document, Row
from persona_exp.modeling.multi_lora.shared_model import SharedModel
from persona_exp.modeling.nf4_dequantisation import cached_bytes, dequantise, fits_dequantised, free_bytes

NAMES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def projections(model: Any) -> dict[str, Any]:
    return {name: module for name, module in model.named_modules() if name.endswith(NAMES)}


def outcome(model: Any) -> list[torch.Tensor]:
    """Logits, and the gradient of the embedded tokens."""
    embedded = model.get_input_embeddings()(torch.arange(4, 60, device=model.device)[None]).detach().requires_grad_()
    logits = model(inputs_embeds=embedded).logits
    (logits * torch.randn(logits.shape, generator=torch.Generator().manual_seed(0)).to(logits.device)).sum().backward()
    return [logits.detach(), embedded.grad]


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """On a CPU bitsandbytes' product is PyTorch's own with the weights dequantised: the same bits. A GPU's kernel may round otherwise."""
    if one.device.type == "cpu":
        return torch.equal(one, other)
    return float((one.float() - other.float()).norm() / other.float().norm()) < 0.02


@pytest.mark.parametrize("twice_quantised", [True, False])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_it_computes_what_the_4_bit_model_does(tiny, dtype, twice_quantised):
    model = load_model(tiny, "nf4", twice_quantised, dtype, "sdpa")
    before = outcome(model)
    dequantise(model)
    assert all(same(one, other) for one, other in zip(outcome(model), before, strict=True))
    for module in projections(model).values():
        assert type(module) is torch.nn.Linear
        assert module.weight.dtype == getattr(torch, dtype)
        assert not module.weight.requires_grad


def test_a_bias_is_kept():
    from bitsandbytes.nn import Linear4bit

    generator = torch.Generator().manual_seed(0)
    quantised = Linear4bit(128, 64, compute_dtype=torch.float32, quant_type="nf4")
    with torch.no_grad():
        quantised.bias.copy_(torch.randn(64, generator=generator))
    model = torch.nn.Sequential(quantised.to("cpu"))
    x = torch.randn(5, 128, generator=generator, requires_grad=True)
    before = model(x)
    (gradient,) = torch.autograd.grad(before.square().sum(), x)
    dequantise(model)
    assert torch.equal(model(x), before)
    assert torch.equal(torch.autograd.grad(model(x).square().sum(), x)[0], gradient)


def test_4_bit_weights_are_freed_and_the_bytes_are_as_predicted(tiny):
    model = load_model(tiny, "nf4", True, "bfloat16", "sdpa")
    gone = [weakref.ref(module.weight) for module in projections(model).values()]
    added = cached_bytes(model)
    packed = sum(module.weight.nbytes for module in projections(model).values())
    gc.collect()
    gc.disable()
    try:
        dequantise(model)
        assert [one() for one in gone] == [None] * 14
    finally:
        gc.enable()
    weights = [module.weight.numel() for module in projections(model).values()]
    # A byte of scale for 64 weights, and four bytes for (up to) 256 of these.
    scales = sum(number // 64 + 4 * -(-number // (64 * 256)) for number in weights)
    assert packed == sum(weights) // 2
    assert added == 2 * sum(weights) - packed - scales
    assert cached_bytes(model) == 0


def test_adapters_find_the_projections_before_and_after(tiny):
    model = load_model(tiny, "nf4", True, "bfloat16", "sdpa")
    shapes = target_projections(model, NAMES)
    shared = SharedModel(model)
    shared.join(0, Adapter(shapes, r=4, alpha=8.0, dropout=0.0, rslora=False, seed=0, device=shared.device))
    row = Row([Document(0, range(5, 40), range(5, 40))], shared.device)
    before = shared.hidden_states(row, training=True).detach()
    dequantise(model)
    assert same(shared.hidden_states(row, training=True).detach(), before)
    assert target_projections(model, NAMES) == shapes
    assert all(type(one.base) is torch.nn.Linear for one in projections(model).values())


def test_it_is_no_longer_said_to_be_quantised(tiny, tmp_path):
    model = load_model(tiny, "nf4", True, "bfloat16", "sdpa")
    dequantise(model)
    model.save_pretrained(tmp_path)
    again = load_model(tmp_path, "none", False, "bfloat16", "sdpa")
    assert torch.equal(outcome(again)[0], outcome(model)[0])
    assert model.to(torch.float32).dtype == torch.float32


def test_a_model_that_is_not_quantised_stays_as_it_is(tiny):
    model = load_model(tiny, "none", True, "bfloat16", "sdpa")
    before = projections(model)
    dequantise(model)
    assert projections(model) == before
    assert cached_bytes(model) == 0
    assert fits_dequantised(model, sys.maxsize)


def test_it_fits_where_there_is_room(tiny):
    model = load_model(tiny, "nf4", True, "bfloat16", "sdpa")
    free = free_bytes(model.device)
    assert fits_dequantised(model, 0)
    assert fits_dequantised(model, free // 2)
    assert not fits_dequantised(model, 2 * free)
