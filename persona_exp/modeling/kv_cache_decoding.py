"""Decoding with a key-value cache, and whether it computes what the model's whole forward computes, beside longer prompts as well.

References are whole forwards without a cache, so that no family and no kind of cache is known by name.
"""

import inspect
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch

from persona_exp.errors import UserError
from persona_exp.modeling.output_head import is_separable, logits

# Lengths of the two prompts that are tried, and tokens that are decoded after them.
PROBE_LENGTHS, PROBE_STEPS = (33, 9), 4
# How far logits may be from those of the whole forward, relative to their norm, by the size of the model's numbers in bytes. Half
# precision rounds otherwise in a batch of another shape.
NEAR = {2: 1e-1, 4: 1e-3, 8: 1e-6}

# The block in which a batch of so many rows is computed, where a model holds several adapters.
Computing = Callable[[int], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Decoder:
    """A causal language model whose logits come one token at a time. `separable`: decoder and head are run one after the other, the head
    for the last states alone; else its whole forward is. `padded`: prompts of unlike length may share a batch, padded on the left."""

    model: Any
    separable: bool
    padded: bool

    def next_logits(self, ids: torch.Tensor, mask: torch.Tensor, places: torch.Tensor, cache: Any) -> tuple[torch.Tensor, Any]:
        """Return the logits [rows, vocabulary] of the token after `ids` [rows, new], at positions `places` [rows, new] behind `cache`,
        and the cache with them; `mask` [rows, all] is 0 at padding. Raise UserError if the model keeps no cache."""
        forward = self.model.base_model if self.separable else self.model
        inputs = {"input_ids": ids, "attention_mask": mask, "past_key_values": cache, "use_cache": True, **_positions(forward, places)}
        output = forward(**inputs)
        # Contiguous, not a strided slice of all (`logits_to_keep`).
        found = logits(self.model, output[0][:, -1].contiguous()) if self.separable else output.logits[:, -1]
        kept = getattr(output, "past_key_values", None)
        if kept is None:
            raise UserError(f"{type(self.model).__name__} keeps no cache of what it has read: set evaluation.generated_items=0.")
        return found, kept


def probed_decoder(model: Any, tokens: Sequence[int], computing: Computing | None = None) -> Decoder:
    """Return how replies of `model` are decoded, as tried on `tokens` (ids of a text; a short one is repeated). Raise UserError if prompts
    of one length get other logits with the cache than by the whole forward, or no cache can be used."""
    computing = computing or (lambda _: nullcontext())
    needed = max(PROBE_LENGTHS) + PROBE_STEPS
    ids = torch.tensor((list(tokens) * needed)[:needed], device=model.get_input_embeddings().weight.device)
    with torch.no_grad():
        with computing(1):
            own = model(input_ids=ids[None], use_cache=False).logits[0]
            decoder = Decoder(model, separable=is_separable(model, ids[None], own), padded=True)
            # Prompts of unlike length end alike, so that one forward each says what is right.
            texts = [ids, ids[max(PROBE_LENGTHS) - min(PROBE_LENGTHS) :]]
            right = [own, model(input_ids=texts[1][None], use_cache=False).logits[0]]
        with computing(len(texts)):
            if _tolerates_padding(decoder, texts, right):
                return decoder
        alone = replace(decoder, padded=False)
        for text in texts:
            equal = [text, text.flip(0)]
            with computing(1):
                right = [model(input_ids=one[None], use_cache=False).logits[0] for one in equal]
            with computing(len(equal)):
                found = _unpadded(alone, equal)
            if not all(_near(model, one, rows[-PROBE_STEPS - 1 :]) for one, rows in zip(found, right, strict=True)):
                raise UserError(
                    f"{type(model).__name__} computes something else with its cache than without: set evaluation.generated_items=0."
                )
    return alone


def _tolerates_padding(decoder: Decoder, texts: Sequence[torch.Tensor], right: Sequence[torch.Tensor]) -> bool:
    """Return whether `texts` of unlike length, padded on the left and decoded with the cache, get the logits `right`."""
    try:
        decoded = _decoded(decoder, texts)
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception:
        # A cache that has no place for padding says so in as many ways as there are caches.
        return False
    return all(_near(decoder.model, found, rows[-PROBE_STEPS - 1 :]) for found, rows in zip(decoded, right, strict=True))


def has_separable_head(model: Any, tokens: Sequence[int]) -> bool:
    """Return whether decoder and head of `model` can be run one after the other, as tried on `tokens`."""
    ids = torch.tensor([tokens], device=model.get_input_embeddings().weight.device)
    with torch.no_grad():
        return is_separable(model, ids, model(input_ids=ids, use_cache=False).logits[0])


def _positions(forward: Any, places: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return `places` for a forward that takes positions; others count for themselves."""
    taken = inspect.signature(forward.forward).parameters
    takes = "position_ids" in taken or any(one.kind is inspect.Parameter.VAR_KEYWORD for one in taken.values())
    return {"position_ids": places} if takes else {}


def _unpadded(decoder: Decoder, texts: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return as `_decoded` does. Raise UserError if the cache cannot be used."""
    try:
        return _decoded(decoder, texts)
    except (torch.OutOfMemoryError, MemoryError, UserError):
        raise
    except Exception as error:
        # Caches that do not do what transformers' do fail in as many ways as there are of them.
        first = str(error).strip().split("\n")[0].rstrip(".")[:200] or type(error).__name__
        raise UserError(
            f"The cache of {type(decoder.model).__name__} cannot be used ({first}): set evaluation.generated_items=0."
        ) from error


def _decoded(decoder: Decoder, texts: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return the logits [PROBE_STEPS + 1, vocabulary] after the last token but PROBE_STEPS of each of `texts`, and after each of these,
    which are read one by one. After two of them the rows change places, as rows do when others leave the batch."""
    from transformers import DynamicCache

    width = max(map(len, texts)) - PROBE_STEPS
    lengths = [len(one) - PROBE_STEPS for one in texts]
    ids = torch.stack([torch.cat([one.new_zeros(width - length), one[:length]]) for one, length in zip(texts, lengths, strict=True)])
    mask = torch.stack([(torch.arange(width, device=ids.device) >= width - length).long() for length in lengths])
    places = (mask.cumsum(dim=1) - 1).clamp(min=0)
    order = torch.arange(len(texts), device=ids.device)
    cache, found = None, []
    for step in range(PROBE_STEPS + 1):
        rows, cache = decoder.next_logits(ids, mask, places, cache)
        found.append(rows[order.argsort()])
        if step == PROBE_STEPS:
            break
        if step == PROBE_STEPS // 2 and type(cache) is DynamicCache:
            swapped: Any = torch.arange(len(texts) - 1, -1, -1, device=ids.device)
            cache.reorder_cache(swapped)
            order, mask, places = order[swapped], mask[swapped], places[swapped]
        ids = torch.stack([texts[place][lengths[place] + step] for place in order.tolist()])[:, None]
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        places = places[:, -1:] + 1
    return list(torch.stack(found, dim=1))


def _near(model: Any, found: torch.Tensor, own: torch.Tensor) -> bool:
    """Return whether the logits `found` [tokens, vocabulary] are `own` but for rounding: of every token, or in half precision, where it
    may change a router's choice, of the middle one."""
    size = min(model.dtype.itemsize, found.element_size())
    off = (found.double() - own.double()).norm(dim=-1) / own.double().norm(dim=-1)
    return bool((off.median() if size < 4 else off.max()) <= NEAR[size])
