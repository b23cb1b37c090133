"""Ranks side by side: what is kept is never stale, a slot that is not finite leaves the others alone, and few kernels are started."""

import ctypes
import gc
import weakref
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from persona_exp.modeling.multi_lora import lora_product_selection
from persona_exp.modeling.multi_lora.concatenated_lora_product import ConcatenatedProduct
from persona_exp.modeling.multi_lora.flat_lora_adapter import Adapter
from persona_exp.modeling.multi_lora.lora_product import Segment, add_one_by_one, add_slices
from persona_exp.modeling.multi_lora.lora_product_selection import SelectedProduct, is_concatenation_faster

INPUTS, OUTPUTS, TOKENS = 24, 40, 96


def adapters(ranks: Sequence[int]) -> list[Adapter]:
    made = [Adapter({"m": (INPUTS, OUTPUTS)}, r=r, alpha=8.0, dropout=0.0, rslora=False, seed=at) for at, r in enumerate(ranks)]
    for at, one in enumerate(made):
        with torch.no_grad():
            one.b.copy_(torch.randn(one.b.shape, generator=torch.Generator().manual_seed(at)))
    return made


def segments(of: Sequence[Adapter], row_mask: torch.Tensor | None = None) -> list[Segment]:
    width = TOKENS // len(of)
    ranges = [(at * width, (at + 1) * width) for at in range(len(of))]
    return [
        Segment(one.pairs["m"], start, end, None if row_mask is None else row_mask[start:end], 1.0 if row_mask is None else 1.25, row_mask)
        for one, (start, end) in zip(of, ranges, strict=True)
    ]


def numbers(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def results(product: Callable[..., Any], of: Sequence[Adapter], x: torch.Tensor) -> list[torch.Tensor]:
    """The sum, the gradient of x, and each adapter's, which are zero again after that."""
    own = x.clone().requires_grad_()
    summed = product(own, numbers(TOKENS, OUTPUTS, seed=1), segments(of))
    summed.backward(numbers(TOKENS, OUTPUTS, seed=2))
    found = [summed.detach(), own.grad, *(one.grad.clone() for adapter in of for one in adapter.parameters())]
    for adapter in of:
        adapter.zero_grad()
    return found


def alike(ours: Sequence[torch.Tensor], plain: Sequence[torch.Tensor]) -> bool:
    return all(torch.allclose(one, other, atol=1e-4) for one, other in zip(ours, plain, strict=True))


def write_by_torch(one: Adapter) -> None:
    with torch.no_grad():
        one.a.mul_(3)


def write_by_a_pair(one: Adapter) -> None:
    with torch.no_grad():
        one.pairs["m"].b.mul_(3)


def write_by_optimiser(one: Adapter) -> None:
    one.b.grad.fill_(1)
    torch.optim.AdamW(one.parameters(), lr=0.5).step()
    one.b.grad.zero_()


def write_by_address(one: Adapter) -> None:
    """As bitsandbytes does; who steps clears the gradients then."""
    ctypes.memset(one.b.data_ptr(), 0, one.b.nbytes)
    one.zero_grad()


@pytest.mark.parametrize("write", [write_by_torch, write_by_a_pair, write_by_optimiser, write_by_address])
def test_weights_that_were_written_to_are_put_together_anew(write):
    of, product, x = adapters([4, 8, 2]), ConcatenatedProduct(), numbers(TOKENS, INPUTS)
    before = results(product, of, x)
    write(of[1])
    after = results(product, of, x)
    assert alike(after, results(add_one_by_one, of, x))
    assert not alike(after, before)


def test_slots_that_come_go_and_move_are_seen():
    of, product, x = adapters([4, 8, 2, 8]), ConcatenatedProduct(), numbers(TOKENS, INPUTS)
    for present in ([0, 1, 2], [0, 1], [3, 1], [1, 3], [0, 1, 2, 3], [0, 1, 2]):
        own = [of[at] for at in present]
        assert alike(results(product, own, x), results(add_one_by_one, own, x))


def test_what_a_measurement_has_put_together_serves_a_backward_pass():
    of, product, x = adapters([4, 8]), ConcatenatedProduct(), numbers(TOKENS, INPUTS)
    with torch.inference_mode():
        product(x.clone(), numbers(TOKENS, OUTPUTS, seed=1), segments(of))
    assert alike(results(product, of, x), results(add_one_by_one, of, x))


def spoil_b(one: Adapter, x: torch.Tensor) -> None:
    with torch.no_grad():
        one.b.fill_(torch.nan)


def spoil_a(one: Adapter, x: torch.Tensor) -> None:
    with torch.no_grad():
        one.a[3] = -torch.inf


def spoil_x(one: Adapter, x: torch.Tensor) -> None:
    x[40], x[41, 3] = torch.nan, torch.inf


@pytest.mark.parametrize("spoil", [spoil_a, spoil_b, spoil_x])
@pytest.mark.parametrize("gradient", [1.0, torch.nan, torch.inf])
def test_a_slot_that_is_not_finite_leaves_the_bits_of_the_others(spoil, gradient):
    product = ConcatenatedProduct()

    def computed(spoilt: bool) -> list[torch.Tensor]:
        of, x = adapters([4, 8, 2]), numbers(TOKENS, INPUTS)
        if spoilt:
            spoil(of[1], x)
        own = x.requires_grad_()
        summed = product(own, numbers(TOKENS, OUTPUTS, seed=1), segments(of))
        of_y = numbers(TOKENS, OUTPUTS, seed=2)
        if spoilt:
            of_y[33:60] *= gradient
        summed.backward(of_y)
        others = [torch.cat([one.detach()[:32], one.detach()[64:]]) for one in (summed, own.grad)]
        found = [*others, *(one.grad for at in (0, 2) for one in of[at].parameters())]
        # The slot itself must find out.
        its = [summed.detach()[32:64], *(one.grad for one in of[1].parameters())]
        assert all(one.isfinite().all() for one in its) == (not spoilt)
        return found

    for sound, beside in zip(computed(False), computed(True), strict=True):
        assert torch.equal(sound, beside)


class Counted(TorchDispatchMode):
    """The kernels that a GPU would start: one for each call that is no view, and one for each tensor of a list that is not contiguous."""

    VIEWS = ("permute", "slice", "split_with_sizes", "new_empty", "unsqueeze")

    def __init__(self) -> None:
        super().__init__()
        self.kernels = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name.startswith("_foreach"):
            self.kernels += 1 if all(one.is_contiguous() for one in args[1]) else len(args[1])
        else:
            self.kernels += name not in self.VIEWS
        return func(*args, **(kwargs or {}))


def kernels(product: Callable[..., Any], slots: int) -> int:
    """Of a forward and a backward pass in half precision with dropout, after a first one."""
    of, row_mask = adapters([8] * slots), torch.rand(TOKENS, INPUTS) < 0.8
    x = numbers(TOKENS, INPUTS, dtype=torch.bfloat16).requires_grad_()
    of_y = numbers(TOKENS, OUTPUTS, dtype=torch.bfloat16)
    for mode in (nullcontext(), Counted()):
        y = torch.zeros(TOKENS, OUTPUTS, dtype=torch.bfloat16)
        with mode:
            torch.autograd.grad(product(x, y, segments(of, row_mask)), x, of_y)
    return mode.kernels


def test_slots_add_hardly_any_kernels():
    assert [kernels(add_slices, slots) for slots in (1, 8)] == [16, 128]
    assert [kernels(ConcatenatedProduct(), slots) for slots in (1, 8)] == [16, 16]


def test_it_is_taken_on_a_gpu_for_several_slots_of_moderate_ranks():
    assert is_concatenation_faster("cuda", [16, 8])
    assert not is_concatenation_faster("cuda", [16])
    assert not is_concatenation_faster("cuda", [256, 512])
    assert not is_concatenation_faster("cpu", [16, 8])


def test_a_cpu_computes_by_slices():
    of, x = adapters([4, 8]), numbers(TOKENS, INPUTS)
    for ours, theirs in zip(results(SelectedProduct(), of, x), results(add_slices, of, x), strict=True):
        assert torch.equal(ours, theirs)


def test_nothing_of_a_slot_is_kept_once_it_is_forgotten(monkeypatch):
    monkeypatch.setattr(lora_product_selection, "is_concatenation_faster", lambda device, ranks: len(ranks) > 1)
    product, of = SelectedProduct(), adapters([8, 4])
    results(product, of, numbers(TOKENS, INPUTS))
    pack = weakref.ref(next(iter(product._concatenated._packs.values())))
    product.forget()
    gc.collect()
    assert pack() is None
