"""PyTorch's own attention kernel for documents of any lengths in one row, once it has shown here that it computes what it should.

It needs half precision and a GPU, its arguments have changed between releases, and what it supports depends on the hardware. So the first
call for each kind of states compares it with the definition, forward and backward, on small random numbers.
"""

import inspect
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch

HALF = (torch.float16, torch.bfloat16)
# Documents of the proof: of one token, of less and of more than a kernel's tile, of one exactly, of several.
LENGTHS = (1, 70, 3, 128, 300)
# Window of the proof: no multiple of a tile.
WINDOW = 45
# By so many roundings a result in half precision may differ from the definition, in the norm. A sound one does by 0.6 of one; a scale or
# a mask that is not meant differs by tens.
ROUNDINGS = 4

# query [tokens, heads, size], key and value [tokens, key heads, size], the documents' ends [documents + 1] (int32, from 0), the longest
# one's length, the scaling of scores, how many of the newest tokens one attends to (None: all) → [tokens, heads, size].
Kernel = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, int, float, int | None], torch.Tensor]


def torch_varlen_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, ends: torch.Tensor, longest: int, scaling: float, window: int | None
) -> torch.Tensor:
    """Attend by PyTorch's kernel (2.11 and later), as a `Kernel`."""
    from torch.nn.attention.varlen import varlen_attn

    # Before it had that argument it took grouped heads unasked.
    named: dict[str, Any] = {"enable_gqa": True} if query.shape[1] != key.shape[1] and _asks_for_groups() else {}
    # The kernel counts the tokens before one's own.
    before = -1 if window is None else window - 1
    attended: Any = varlen_attn(query, key, value, ends, ends, longest, longest, scale=scaling, window_size=(before, 0), **named)
    return attended  # type: ignore[no-any-return]


@cache
def _asks_for_groups() -> bool:
    from torch.nn.attention.varlen import varlen_attn

    return "enable_gqa" in inspect.signature(varlen_attn).parameters


def is_usable(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, window: int | None) -> bool:
    """Return whether `torch_varlen_attention` is to be used for such states; print why, once, where it fails for states of its kind."""
    if query.device.type != "cuda" or query.dtype not in HALF or value.shape[-1] != query.shape[-1]:
        return False
    return _proven(query.device, query.dtype, query.shape[-2], key.shape[-2], query.shape[-1], window is not None)


@cache
def _proven(device: torch.device, dtype: torch.dtype, heads: int, key_heads: int, size: int, windowed: bool) -> bool:
    why = kernel_fault(torch_varlen_attention, device, dtype, heads, key_heads, size, WINDOW if windowed else None)
    if why:
        print(f"Attention is computed for groups of documents of like length: PyTorch's variable-length kernel {why}.", flush=True)
    return not why


def kernel_fault(
    kernel: Kernel,
    device: "torch.device | str",
    dtype: torch.dtype,
    heads: int,
    key_heads: int,
    size: int,
    window: int | None = None,
) -> str:
    """Return what is wrong with `kernel` for such states and windows; empty where nothing is."""
    # Neither a caller's no_grad nor its recomputation may reach in here.
    with torch.inference_mode(False), torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(_same, _same):
        generator = torch.Generator(device).manual_seed(0)
        shapes = [(sum(LENGTHS), number, size) for number in (heads, key_heads, key_heads, heads)]
        query, key, value, weights = (torch.randn(shape, generator=generator, device=device).to(dtype) for shape in shapes)
        ends = torch.tensor([0, *LENGTHS], device=device).cumsum(0).to(torch.int32)
        exact = _with_gradients(_defined, [query.float(), key.float(), value.float()], weights, ends, window)
        try:
            found = _with_gradients(kernel, [query, key, value], weights, ends, window)
        except torch.OutOfMemoryError:
            # That says nothing about the kernel.
            raise
        except Exception as error:
            return f"failed ({type(error).__name__}: {error})".replace("\n", " ")
    limit = ROUNDINGS * torch.finfo(dtype).eps
    for what, ours, theirs in zip(("result", "gradient of queries", "gradient of keys", "gradient of values"), found, exact, strict=True):
        far = float((ours.float() - theirs).norm() / theirs.norm())
        if not far <= limit:
            return f"is off by {far:.1%} in the {what}"
    return ""


def _with_gradients(
    kernel: Kernel, states: Sequence[torch.Tensor], weights: torch.Tensor, ends: torch.Tensor, window: int | None
) -> list[torch.Tensor]:
    query, key, value = (one.clone().requires_grad_() for one in states)
    # Not the usual scaling, for that is what a kernel takes that overlooks it.
    attended = kernel(query, key, value, ends, max(LENGTHS), 0.8 * query.shape[-1] ** -0.5, window)
    return [attended.detach(), *torch.autograd.grad((attended * weights).sum(), (query, key, value))]


def _defined(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, ends: torch.Tensor, longest: int, scaling: float, window: int | None
) -> torch.Tensor:
    """Attend by the definition, with a dense mask: for a short row only."""
    together = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(together, dim=1), value.repeat_interleave(together, dim=1)
    places = torch.arange(len(query), device=query.device)
    document = torch.searchsorted(ends[1:].long(), places, right=True)
    hidden = (document[:, None] != document) | (places[:, None] < places)
    if window is not None:
        hidden |= places[:, None] - places >= window
    scores = torch.einsum("qhs,khs->hqk", query, key) * scaling
    return torch.einsum("hqk,khs->qhs", scores.masked_fill(hidden, -torch.inf).softmax(dim=-1), value)


def _same(tensor: torch.Tensor) -> torch.Tensor:
    return tensor
