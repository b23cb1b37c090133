"""Causal attention within each document of a row, and never across: what no dense mask over a long row could afford.

Documents of like length are computed together, the shorter ones filled up at their end. That is exact: no real token attends to what
comes after it, and what the filling computes is dropped. On a GPU a kernel for documents of any lengths takes the whole row at once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionInterface

from persona_exp.errors import UserError
from persona_exp.modeling.bundle import varlen

# The attention's name for transformers (config._attn_implementation).
NAME = "persona_exp_documents"
# Documents are of like length when the filling takes no more than this part of the shorter one.
FILLING = 0.15
# Up to this width the plain products are faster on a CPU than PyTorch's flash kernel (1.9 times at 130 tokens, and no faster at 500).
PLAIN = 400


@dataclass(frozen=True)
class Documents:
    """Where the documents of a row are. `slots` [places] lists the row's tokens group by group, with fillings; `back` [tokens] finds each
    token among the places. `shapes` are (documents, width) of each group. `ends` [documents + 1] (int32) are where documents end, 0 before
    them. `longest` is in tokens."""

    slots: torch.Tensor
    back: torch.Tensor
    shapes: tuple[tuple[int, int], ...]
    ends: torch.Tensor
    longest: int


def documents_of(lengths: Sequence[int], device: "torch.device | str" = "cpu") -> Documents:
    """The documents of a row, by their lengths (in tokens, in the row's order)."""
    starts = [0]
    for length in lengths:
        starts.append(starts[-1] + length)
    slots: list[int] = []
    back = [0] * starts[-1]
    shapes = []
    for group in _groups(lengths):
        width = lengths[group[0]]
        shapes.append((len(group), width))
        for number in group:
            start, length = starts[number], lengths[number]
            back[start : start + length] = range(len(slots), len(slots) + length)
            slots += [*range(start, start + length), *[start + length - 1] * (width - length)]
    ends = torch.tensor(starts, dtype=torch.int32, device=device)
    return Documents(torch.tensor(slots, device=device), torch.tensor(back, device=device), tuple(shapes), ends, max(lengths))


def longest_document(model: Any) -> int | None:
    """The most tokens that a document may have for `model` to attend to it as a whole, which is what bundles compute; None: any."""
    config = model.config.get_text_config()
    window, kinds = getattr(config, "sliding_window", None), getattr(config, "layer_types", None)
    return int(window) if window and (kinds is None or "sliding_attention" in kinds) else None


def attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    documents: Documents,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """As transformers calls it: `query` [1, heads, tokens, size], `key` and `value` alike; → [1, tokens, heads, size]."""
    if softcap is not None or dropout:
        raise UserError("This model's attention caps its scores or drops some of them, which bundles do not compute: use engine=sft.")
    if sliding_window is not None and documents.longest > sliding_window:
        raise UserError(f"A document of {documents.longest} tokens is longer than the model's attention window of {sliding_window}.")
    # [1, heads, tokens, size] → [tokens, heads, size]
    q, k, v = (states[0].transpose(0, 1) for states in (query, key, value))
    if varlen.serves(q, k):
        return varlen.of_torch(q, k, v, documents.ends, documents.longest, scaling)[None], None
    return _in_groups(q, k, v, documents, scaling)[None], None


def _in_groups(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, documents: Documents, scaling: float | None) -> torch.Tensor:
    placed = [states.index_select(0, documents.slots) for states in (query, key, value)]
    sizes = [number * width for number, width in documents.shapes]
    parts = []
    for (number, width), *states in zip(documents.shapes, *(torch.split(states, sizes) for states in placed), strict=True):
        # [documents × width, heads, size] → [documents, heads, width, size]
        own = [one.unflatten(0, (number, width)).transpose(1, 2) for one in states]
        attended = (_plain if query.device.type == "cpu" and width <= PLAIN else _flash)(own[0], own[1], own[2], scaling)
        parts.append(attended.transpose(1, 2).flatten(0, 1))
    return torch.cat(parts).index_select(0, documents.back)


def _flash(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None) -> torch.Tensor:
    grouped = query.shape[1] != key.shape[1]
    return torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling, enable_gqa=grouped)


def _plain(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None) -> torch.Tensor:
    """Softmax of all scores, in float32 or better; query heads that share a key's go through one product with it."""
    number, heads, width, size = query.shape
    q, k, v = (one.to(torch.promote_types(one.dtype, torch.float32)) for one in (query, key, value))
    together = heads // key.shape[1]
    q = q.reshape(number, key.shape[1], together * width, size) * (size**-0.5 if scaling is None else scaling)
    later = torch.full((width, width), -torch.inf, dtype=q.dtype, device=q.device).triu(1).repeat(together, 1)
    weights = (q @ k.transpose(-1, -2) + later).softmax(dim=-1)
    return (weights @ v).reshape(query.shape).to(query.dtype)


def _groups(lengths: Sequence[int]) -> Iterable[list[int]]:
    """Numbers of documents of like length together, longest group and longest document first."""
    group: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda one: (-lengths[one], one)):
        if group and lengths[group[0]] > lengths[number] * (1 + FILLING):
            yield group
            group = []
        group.append(number)
    if group:
        yield group


AttentionInterface.register(NAME, attend)
