"""The low-rank products of several slots: all ways give one result; how much the written-out one keeps."""

from functools import partial

import pytest
import torch

from persona_exp.modeling.multi_lora.concatenated_lora_product import ConcatenatedProduct
from persona_exp.modeling.multi_lora.flat_lora_adapter import Adapter
from persona_exp.modeling.multi_lora.keyed_dropout import keyed_mask
from persona_exp.modeling.multi_lora.lora_product import Segment, add_one_by_one, add_padded, add_slices
from persona_exp.modeling.multi_lora.row_tensors import Document

INPUTS, OUTPUTS, TOKENS = 48, 40, 100


# The same numbers whatever precision they are then used in.
normal = partial(torch.randn, dtype=torch.float64)


def adapters(dtype: torch.dtype) -> list[Adapter]:
    made = [Adapter({"m": (INPUTS, OUTPUTS)}, r=r, alpha=8.0, dropout=0.3, rslora=False, seed=r, dtype=dtype) for r in (4, 12)]
    for one in made:
        with torch.no_grad():
            one.b.copy_(normal(len(one.b), generator=torch.Generator().manual_seed(one.r)))
    return made


def segments(of: list[Adapter], dropout: bool = True) -> list[Segment]:
    """The first tokens are nobody's; the first slot drops nothing."""
    document = Document(1, range(50), range(50))
    mask = keyed_mask([document], seed=1, layer="m", inputs=INPUTS, probability=0.3) if dropout else None
    return [Segment(of[0].pairs["m"], 10, 40), Segment(of[1].pairs["m"], 40, 90, mask, 1 / 0.7)]


def results(product, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    x = normal(TOKENS, INPUTS, generator=generator).to(dtype).requires_grad_()
    y = normal(TOKENS, OUTPUTS, generator=generator).to(dtype).requires_grad_()
    weights = normal(TOKENS, OUTPUTS, generator=generator).to(dtype)
    of = adapters(torch.float32 if dtype == torch.bfloat16 else dtype)
    summed = product(x, y.clone(), segments(of))
    (summed * weights).sum().backward()
    return [summed.detach(), x.grad, y.grad, *(one.grad for adapter in of for one in adapter.parameters())]


@pytest.mark.parametrize("product", [add_slices, add_padded, ConcatenatedProduct()])
def test_each_way_is_the_plain_one(product):
    for ours, plain in zip(results(product), results(add_one_by_one), strict=True):
        assert torch.allclose(ours, plain, atol=1e-12)


@pytest.mark.parametrize("product", [add_slices, add_padded, ConcatenatedProduct()])
def test_in_half_precision_too_up_to_its_rounding(product):
    exact = results(add_one_by_one)
    for ours, plain in zip(results(product, torch.bfloat16), exact, strict=True):
        assert float((ours.double() - plain).norm() / plain.norm()) < 0.02


@pytest.mark.parametrize("product", [add_slices, ConcatenatedProduct()])
def test_dropout_drawn_for_the_whole_row_is_that_of_each_part(product):
    generator = torch.Generator().manual_seed(0)
    row_mask = torch.rand((TOKENS, INPUTS), generator=generator) < 0.7
    row_mask[:40] = True
    of = adapters(torch.float64)
    in_one = [
        Segment(of[0].pairs["m"], 10, 40, row_mask=row_mask),
        Segment(of[1].pairs["m"], 40, 90, row_mask[40:90], 1 / 0.7, row_mask),
    ]
    apart = [Segment(one.pair, one.start, one.end, one.mask, one.dropout_scale) for one in in_one]
    x, weights = normal(TOKENS, INPUTS, generator=generator), normal(TOKENS, OUTPUTS, generator=generator)
    found = []
    for way, given in ((product, in_one), (add_one_by_one, apart)):
        own = x.clone().requires_grad_()
        summed = way(own, torch.zeros(TOKENS, OUTPUTS, dtype=torch.float64), given)
        (summed * weights).sum().backward()
        found.append([summed.detach(), own.grad, *(one.grad.clone() for adapter in of for one in adapter.parameters())])
        for adapter in of:
            adapter.zero_grad()
    assert all(torch.allclose(ours, plain, atol=1e-12) for ours, plain in zip(*found, strict=True))


def test_slices_keep_one_input_for_all_projections_and_a_byte_for_each_element_that_may_be_dropped():
    storages = {}

    def keep(tensor):
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    x = torch.randn(TOKENS, INPUTS, dtype=torch.bfloat16, requires_grad=True)
    of = [adapters(torch.float32) for _ in range(3)]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs = [add_slices(x, torch.zeros(TOKENS, OUTPUTS, dtype=torch.bfloat16), segments(one)) for one in of]
    assert len(outputs) == 3
    lowered = 2 * (30 * 4 + 50 * 12)
    assert sum(one.nbytes() for one in storages.values()) == 2 * TOKENS * INPUTS + 3 * (50 * INPUTS + lowered)
