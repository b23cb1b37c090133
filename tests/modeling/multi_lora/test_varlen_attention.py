"""A kernel that could not be tried beforehand must prove itself: a sound one does, whatever its rounding, and a wrong one does not."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from persona_exp.modeling.multi_lora import varlen_attention
from persona_exp.modeling.multi_lora.document_attention import attend, lay_out_documents, within_documents

HEADS, KEY_HEADS, SIZE = 6, 2, 32


def sound(query: Any, key: Any, value: Any, ends: Any, longest: int, scaling: float | None, window: int | None = None) -> Any:
    """What attention computes on this machine, rounded to the states' own precision at its end."""
    assert longest == int(ends.diff().max())
    states = [one.transpose(0, 1)[None].float() for one in (query, key, value)]
    with within_documents(lay_out_documents(ends.diff().tolist())):
        return attend(None, *states, None, scaling=scaling, sliding_window=window)[0][0].to(query.dtype)


class Unseen(torch.autograd.Function):
    """The identity, with a gradient that is a tenth too large."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient * 1.1


def wrong(query: Any, key: Any, value: Any, ends: Any, longest: int, scaling: float, window: int | None) -> dict[str, Any]:
    """Attention with one mistake each."""
    merged = torch.cat([ends[:1], ends[2:]])
    heads = torch.arange(HEADS) % KEY_HEADS
    return {
        "scale": lambda: sound(query, key, value, ends, longest, None),
        "documents": lambda: sound(query, key, value, merged, int(merged.diff().max()), scaling),
        "heads": lambda: sound(query, key[:, heads], value[:, heads], ends, longest, scaling),
        "nan": lambda: sound(query, key, value, ends, longest, scaling) * torch.nan,
        "gradient": lambda: sound(query, Unseen.apply(key), value, ends, longest, scaling),
        "raises": lambda: torch.ops.aten._no_such_kernel(query),
    }


def found(kernel: Callable[..., torch.Tensor], dtype: torch.dtype, window: int | None = None) -> str:
    return varlen_attention.kernel_fault(kernel, "cpu", dtype, HEADS, KEY_HEADS, SIZE, window)


@pytest.mark.parametrize("window", [None, varlen_attention.WINDOW])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_sound_kernel_proves_itself(dtype, window):
    assert found(sound, dtype, window) == ""


@pytest.mark.parametrize("mistaken", [None, varlen_attention.WINDOW + 1])
def test_one_with_another_window_does_not(mistaken):
    def other(query: Any, key: Any, value: Any, ends: Any, longest: int, scaling: float, window: int | None) -> Any:
        return sound(query, key, value, ends, longest, scaling, mistaken)

    assert "is off by" in found(other, torch.bfloat16, varlen_attention.WINDOW)


@pytest.mark.parametrize(
    ("mistake", "fault"),
    [
        ("scale", "is off by"),
        ("documents", "is off by"),
        ("heads", "is off by"),
        ("nan", "is off by nan"),
        ("gradient", "in the gradient of keys"),
        ("raises", "failed (AttributeError"),
    ],
)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_wrong_kernel_does_not(mistake, fault, dtype):
    assert fault in found(lambda *given: wrong(*given)[mistake](), dtype)


def test_one_that_sees_what_comes_later_does_not():
    def backwards(query: Any, key: Any, value: Any, ends: Any, longest: int, scaling: float, window: int | None) -> Any:
        turned = torch.cat([ends[:1], ends.diff().flip(0).cumsum(0)])
        return sound(query.flip(0), key.flip(0), value.flip(0), turned, longest, scaling).flip(0)

    assert "is off by" in found(backwards, torch.bfloat16)


def test_no_memory_is_no_verdict():
    def hungry(*_: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        found(hungry, torch.bfloat16)


def test_it_does_so_within_no_grad_and_leaves_a_recomputation_alone():
    seen = []

    def checked(x: torch.Tensor) -> torch.Tensor:
        seen.append(found(sound, torch.bfloat16) if not seen else "")
        return (x * x).sum()

    x = torch.ones(3, requires_grad=True)
    torch.utils.checkpoint.checkpoint(checked, x, use_reentrant=False).backward()
    assert seen == ["", ""]
    assert x.grad.tolist() == [2, 2, 2]
    with torch.inference_mode():
        assert found(sound, torch.bfloat16) == ""


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("heads", "key_heads", "size"), [(28, 4, 128), (9, 3, 64), (8, 4, 256)])
def test_a_gpu_has_it_and_gives_what_groups_give(heads, key_heads, size):
    assert varlen_attention.kernel_fault(varlen_attention.torch_varlen_attention, "cuda", torch.bfloat16, heads, key_heads, size) == ""
    lengths = [5, 400, 64, 1]
    states = [torch.randn(1, number, sum(lengths), size, device="cuda", dtype=torch.bfloat16) for number in (heads, key_heads, key_heads)]
    with within_documents(lay_out_documents(lengths, "cuda")):
        at_once = attend(None, *states, None)[0]
        in_groups = attend(None, *(one.float() for one in states), None)[0]
    assert float((at_once.float() - in_groups).norm() / in_groups.norm()) < 0.02


def test_on_a_cpu_it_is_not_asked_for(capsys):
    query = torch.randn(4, HEADS, SIZE, dtype=torch.bfloat16)
    assert not varlen_attention.is_usable(query, query[:, :KEY_HEADS], query[:, :KEY_HEADS], None)
    assert capsys.readouterr().out == ""


def test_where_it_fails_one_line_says_so_once(capsys):
    # This machine has no such kernel for its processor.
    varlen_attention._proven.cache_clear()
    asked = (torch.device("cpu"), torch.bfloat16, HEADS, KEY_HEADS, SIZE, False)
    assert [varlen_attention._proven(*asked) for _ in range(2)] == [False, False]
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "variable-length kernel failed (" in out
