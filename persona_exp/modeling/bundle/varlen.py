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
# Of the trial: documents of one token, of less and of more than a kernel's tile, of one exactly, of several.
LENGTHS = (1, 70, 3, 128, 300)
# By so many roundings a result in half precision may differ from the definition, in the norm. A sound one does by 0.6 of one; a scale or
# a mask that is not meant differs by tens.
ROUNDINGS = 4

# query [tokens, heads, size], key and value [tokens, key heads, size], the documents' ends [documents + 1] (int32, from 0), the longest
# one's length, the scaling of scores → [tokens, heads, size].
Kernel = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, int, float | None], torch.Tensor]


def of_torch(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, ends: torch.Tensor, longest: int, scaling: float | None
) -> torch.Tensor:
    """PyTorch's kernel (2.11 and later), as `Kernel` has it."""
    from torch.nn.attention.varlen import varlen_attn

    # Before it had that argument it took grouped heads unasked.
    named: dict[str, Any] = {"enable_gqa": True} if query.shape[1] != key.shape[1] and _asks_for_groups() else {}
    attended: Any = varlen_attn(query, key, value, ends, ends, longest, longest, scale=scaling, window_size=(-1, 0), **named)
    return attended  # type: ignore[no-any-return]


@cache
def _asks_for_groups() -> bool:
    from torch.nn.attention.varlen import varlen_attn

    return "enable_gqa" in inspect.signature(varlen_attn).parameters


def serves(query: torch.Tensor, key: torch.Tensor) -> bool:
    """Whether `of_torch` is to be used for such states; the first time it is not, though they are of its kind, one line says why."""
    if query.device.type != "cuda" or query.dtype not in HALF:
        return False
    return _proven(query.device, query.dtype, query.shape[-2], key.shape[-2], query.shape[-1])


@cache
def _proven(device: torch.device, dtype: torch.dtype, heads: int, key_heads: int, size: int) -> bool:
    why = objection(of_torch, device, dtype, heads, key_heads, size)
    if why:
        print(f"Attention is computed for groups of documents of like length: PyTorch's variable-length kernel {why}.", flush=True)
    return not why


def objection(kernel: Kernel, device: "torch.device | str", dtype: torch.dtype, heads: int, key_heads: int, size: int) -> str:
    """What speaks against `kernel` for such states, empty where nothing does."""
    # Neither a caller's no_grad nor its recomputation may reach in here.
    with torch.inference_mode(False), torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(_same, _same):
        generator = torch.Generator(device).manual_seed(0)
        shapes = [(sum(LENGTHS), number, size) for number in (heads, key_heads, key_heads, heads)]
        query, key, value, weights = (torch.randn(shape, generator=generator, device=device).to(dtype) for shape in shapes)
        ends = torch.tensor([0, *LENGTHS], device=device).cumsum(0).to(torch.int32)
        exact = _with_gradients(_defined, [query.float(), key.float(), value.float()], weights, ends)
        try:
            found = _with_gradients(kernel, [query, key, value], weights, ends)
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


def _with_gradients(kernel: Kernel, states: Sequence[torch.Tensor], weights: torch.Tensor, ends: torch.Tensor) -> list[torch.Tensor]:
    query, key, value = (one.clone().requires_grad_() for one in states)
    # Not the usual scaling, for that is what a kernel takes that overlooks it.
    attended = kernel(query, key, value, ends, max(LENGTHS), 0.8 * query.shape[-1] ** -0.5)
    return [attended.detach(), *torch.autograd.grad((attended * weights).sum(), (query, key, value))]


def _defined(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, ends: torch.Tensor, longest: int, scaling: float | None
) -> torch.Tensor:
    """The definition of it, with a dense mask: for a short row only."""
    together = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(together, dim=1), value.repeat_interleave(together, dim=1)
    places = torch.arange(len(query), device=query.device)
    document = torch.searchsorted(ends[1:].long(), places, right=True)
    hidden = (document[:, None] != document) | (places[:, None] < places)
    scores = torch.einsum("qhs,khs->hqk", query, key) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    return torch.einsum("hqk,khs->qhs", scores.masked_fill(hidden, -torch.inf).softmax(dim=-1), value)


def _same(tensor: torch.Tensor) -> torch.Tensor:
    return tensor
