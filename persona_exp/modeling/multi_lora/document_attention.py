"""Causal attention within each document of a row, and never across: what no dense mask over a long row could afford.

Documents of like length are computed together, the shorter ones filled up at their end. That is exact: no real token attends to what
comes after it, and what the filling computes is dropped. On a GPU a kernel for documents of any lengths takes the whole row at once.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionInterface

from persona_exp.errors import UserError
from persona_exp.modeling.multi_lora import varlen_attention
from persona_exp.modeling.multi_lora.row_tensors import send_lists

# The attention's name for transformers (config._attn_implementation).
ATTENTION_NAME = "persona_exp_documents"
# Documents are of like length when the filling takes no more than this part of the shorter one.
FILLING = 0.15
# Up to this width the plain products are faster on a CPU than PyTorch's flash kernel (1.9 times at 130 tokens, and no faster at 500).
PLAIN = 400
# Arguments of transformers' attention interface that change nothing here: positions are in the states already, and where documents end
# `within_documents` says. Every other one is refused, so that what a family adds is noticed.
IMMATERIAL = frozenset(
    (
        "position_ids",
        "cache_position",
        "use_cache",
        "is_causal",
        "output_attentions",
        "output_hidden_states",
        "output_router_logits",
        "num_items_in_batch",
        "cu_seq_lens_q",
        "cu_seq_lens_k",
        "max_length_q",
        "max_length_k",
        "seq_idx",
    )
)


@dataclass(frozen=True)
class Documents:
    """Where the documents of a row are. `padded` [places] lists the row's tokens group by group, with fillings; `unpadded` [tokens] finds
    each token among the places. `shapes` are (documents, width) of each group. `ends` [documents + 1] (int32) are where documents end, 0
    before them. `longest` is in tokens."""

    padded: torch.Tensor
    unpadded: torch.Tensor
    shapes: tuple[tuple[int, int], ...]
    ends: torch.Tensor
    longest: int


def lay_out_documents(lengths: Sequence[int], device: "torch.device | str" = "cpu") -> Documents:
    """Return where the documents of a row are, by their lengths (in tokens, in the row's order)."""
    starts = [0]
    for length in lengths:
        starts.append(starts[-1] + length)
    padded: list[int] = []
    unpadded = [0] * starts[-1]
    shapes = []
    for group in _groups(lengths):
        width = lengths[group[0]]
        shapes.append((len(group), width))
        for number in group:
            start, length = starts[number], lengths[number]
            unpadded[start : start + length] = range(len(padded), len(padded) + length)
            padded += [*range(start, start + length), *[start + length - 1] * (width - length)]
    places, found, ends = send_lists([padded, unpadded, starts], device)
    return Documents(places, found, tuple(shapes), ends.int(), max(lengths))


_documents: ContextVar[Documents] = ContextVar("documents")


@contextmanager
def within_documents(documents: Documents) -> Iterator[None]:
    """Keep attention within these in this block. No argument of the model's: not every family hands those on."""
    before = _documents.set(documents)
    try:
        yield
    finally:
        _documents.reset(before)


def attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Attend as transformers asks for it: `query` [1, heads, tokens, size], `key` and `value` alike; → [1, tokens, heads, size of values].

    `sliding_window` is the number of tokens that one attends to, itself included; `softcap` bounds the scores: softcap·tanh(score/softcap).
    Raise UserError where the model asks for what is not computed here. For use in `within_documents` alone.
    """
    documents = _documents.get()
    _refuse_unread(module, attention_mask, dropout, others)
    # [1, heads, tokens, size] → [tokens, heads, size]
    q, k, v = (states.squeeze(0).transpose(0, 1) for states in (query, key, value))
    scores = Scores(q.shape[-1] ** -0.5 if scaling is None else scaling, _narrower(sliding_window, documents.longest), softcap)
    if softcap is None and varlen_attention.is_usable(q, k, v, scores.window):
        out = varlen_attention.torch_varlen_attention(q, k, v, documents.ends, documents.longest, scores.scaling, scores.window)
    else:
        out = _in_groups(q, k, v, documents, scores)
    return out[None], None


@dataclass(frozen=True)
class Scores:
    """How scores are made of queries and keys: times `scaling`, capped by `softcap`, of the `window` newest tokens (None: of all)."""

    scaling: float
    window: int | None
    softcap: float | None


def _narrower(window: int | None, longest: int) -> int | None:
    return window if window is not None and window < longest else None


def _refuse_unread(module: Any, attention_mask: torch.Tensor | None, dropout: float, others: dict[str, Any]) -> None:
    """Raise UserError where attention is given what would be left out in silence: sinks, biases of positions, masks of its own."""
    unread = sorted(name for name, given in others.items() if given is not None and name not in IMMATERIAL)
    unread += ["attention_mask"] if attention_mask is not None else []
    unread += ["dropout"] if dropout else []
    if others.get("is_causal") is False or getattr(module, "is_causal", True) is False:
        unread.append("is_causal=False")
    if unread:
        raise UserError(f"The attention of {type(module).__name__} takes {', '.join(unread)}, which engine=fused does not compute.")


def _in_groups(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, documents: Documents, scores: Scores) -> torch.Tensor:
    placed = [states.index_select(0, documents.padded) for states in (query, key, value)]
    sizes = [number * width for number, width in documents.shapes]
    parts = []
    for (number, width), *states in zip(documents.shapes, *(torch.split(states, sizes) for states in placed), strict=True):
        # [documents × width, heads, size] → [documents, heads, width, size]
        own = [one.unflatten(0, (number, width)).transpose(1, 2) for one in states]
        plain = scores.softcap is not None or (query.device.type == "cpu" and width <= PLAIN)
        attended = (_plain if plain else _flash)(own[0], own[1], own[2], scores)
        parts.append(attended.transpose(1, 2).flatten(0, 1))
    return torch.cat(parts).index_select(0, documents.unpadded)


def _flash(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scores: Scores) -> torch.Tensor:
    width, grouped = query.shape[2], query.shape[1] != key.shape[1]
    window = _narrower(scores.window, width)
    seen = None if window is None else ~_unseen(width, window, query.device)
    return torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=seen, is_causal=seen is None, scale=scores.scaling, enable_gqa=grouped
    )


def _plain(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scores: Scores) -> torch.Tensor:
    """Attend by the softmax of all scores, in float32 or better, and products in the states' own precision; query heads that share a key's
    go through one product with it."""
    number, heads, width, size = query.shape
    together = heads // key.shape[1]
    q = query.reshape(number, key.shape[1], together * width, size) * scores.scaling
    found = (q @ key.transpose(-1, -2)).to(torch.promote_types(query.dtype, torch.float32))
    if scores.softcap is not None:
        found = scores.softcap * torch.tanh(found / scores.softcap)
    unseen = _unseen(width, scores.window, query.device).repeat(together, 1)
    weights = found.masked_fill(unseen, -torch.inf).softmax(dim=-1).to(value.dtype)
    return (weights @ value).reshape(number, heads, width, value.shape[-1])


def _unseen(width: int, window: int | None, device: torch.device) -> torch.Tensor:
    """Return whether a token (row) does not attend to another (column): those after it, and those before its window."""
    every = torch.ones((width, width), dtype=torch.bool, device=device)
    return every.triu(1) if window is None else every.triu(1) | every.tril(-window)


def _groups(lengths: Sequence[int]) -> Iterable[list[int]]:
    """Yield the numbers of documents of like length together, longest group and longest document first."""
    group: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda one: (-lengths[one], one)):
        if group and lengths[group[0]] > lengths[number] * (1 + FILLING):
            yield group
            group = []
        group.append(number)
    if group:
        yield group


AttentionInterface.register(ATTENTION_NAME, attend)
