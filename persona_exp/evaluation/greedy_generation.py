"""Greedy replies: the most probable token each time, in batches."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from persona_exp.evaluation.batch_adapters import BatchAdapters, active_adapters, group_by_adapter
from persona_exp.evaluation.eval_mode_precision import causal, evaluating
from persona_exp.progress_bar import ProgressMeter, progress

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from persona_exp.modeling.kv_cache_decoding import Decoder

# Tokens whose keys and values are kept at once, where a batch has that many: in float32 1.5 GB of SmolLM2-135M, 8.6 GB of Llama-3.1-8B.
CACHED_TOKENS = 32768


@dataclass(frozen=True)
class Reply:
    """The model's text, without its end-of-turn token. `finish_reason` is `stop` where it ended its turn, `length` where it was cut at the
    most tokens that a reply may have."""

    text: str
    finish_reason: Literal["stop", "length"]


@dataclass(frozen=True)
class GenerationSettings:
    """How prompts are rendered, the most tokens of a prompt (`max_length`) and of a reply, and how many prompts go together."""

    max_length: int
    system_role: str
    end_of_turn: str
    max_new_tokens: int
    batch_size: int


def generate_replies(
    model: Any,
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[Sequence[Mapping[str, str]]],
    settings: GenerationSettings,
    *,
    label: str = "generation",
    adapters: BatchAdapters | None = None,
) -> list[Reply]:
    """Return the model's reply to each of `prompts` (conversations that end with a user turn).

    Greedy: no sampling, no penalties, whatever the model's own generation settings are. A reply ends at `end_of_turn`, at the
    tokenizer's end of text, or after `max_new_tokens`. Prompts longer than `max_length` tokens are shortened as in training.
    At most `batch_size` prompts of like length go together, fewer where their cache would grow beyond `CACHED_TOKENS`, and of equal length
    where a shorter one would get another reply beside a longer one; `label` names the progress bar. `adapters` decides which adapter
    answers which, where the model has several. Raise UserError if the model keeps no cache, or one that computes something else than its
    whole forward.
    """
    from persona_exp.modeling.chat_template import end_of_turn_id
    from persona_exp.modeling.supervised_token_mask import encode_prompt

    stops = {end_of_turn_id(tokenizer, settings.end_of_turn), tokenizer.eos_token_id} - {None}
    ids = [encode_prompt(tokenizer, prompt, settings.max_length, settings.system_role) for prompt in prompts]
    with evaluating(model), progress(label, len(ids)) as meter:
        replies, cut = _replies(causal(model), ids, stops, settings, meter, adapters) if ids else ({}, set())
    texts = [str(tokenizer.decode(replies[index], skip_special_tokens=True)).strip() for index in range(len(ids))]
    return [Reply(text, "length" if index in cut else "stop") for index, text in enumerate(texts)]


def _replies(
    model: Any,
    ids: Sequence[Sequence[int]],
    stops: Collection[object],
    settings: GenerationSettings,
    meter: ProgressMeter,
    adapters: BatchAdapters | None,
) -> tuple[dict[int, list[int]], set[int]]:
    """Return as `_greedy` does, of all prompts `ids`, the longest first."""
    from persona_exp.modeling.kv_cache_decoding import probed_decoder

    pending = sorted(range(len(ids)), key=lambda index: (-len(ids[index]), index))
    first = pending[0]
    decoder = probed_decoder(model, ids[first], lambda rows: active_adapters(adapters, [first] * rows))
    replies: dict[int, list[int]] = {}
    cut: set[int] = set()
    while pending:
        longest = len(ids[pending[0]])
        size = max(1, min(settings.batch_size, CACHED_TOKENS // (longest + settings.max_new_tokens)))
        if not decoder.padded:
            size = min(size, sum(len(ids[index]) == longest for index in pending))
        batch, pending = group_by_adapter(adapters, pending[:size]), pending[size:]
        finished, unfinished = _greedy(decoder, {index: ids[index] for index in batch}, stops, settings.max_new_tokens, meter, adapters)
        replies |= finished
        cut |= unfinished
    return replies, cut


def _greedy(
    decoder: "Decoder",
    prompts: Mapping[int, Sequence[int]],
    stops: Collection[object],
    max_new_tokens: int,
    meter: ProgressMeter,
    adapters: BatchAdapters | None,
) -> tuple[dict[int, list[int]], set[int]]:
    """Return the token ids after each prompt, by its number and without the stop token, and the numbers of those without one. Prompts
    are padded on the left; a finished row leaves the batch, where the model's cache is one whose rows can be taken out.

    transformers' own `generate` fills every setting that it is not given from the model's generation config (Qwen2.5 ships a
    repetition penalty), hence this loop.
    """
    import torch
    from transformers import DynamicCache

    device = decoder.model.get_input_embeddings().weight.device
    width = max(map(len, prompts.values()))
    ids = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in prompts.values()], device=device)
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts.values()], device=device)
    places = (mask.cumsum(dim=1) - 1).clamp(min=0)
    replies: dict[int, list[int]] = {number: [] for number in prompts}
    rows = list(prompts)
    done: set[int] = set()
    cache: Any = None
    for _ in range(max_new_tokens):
        with torch.no_grad(), active_adapters(adapters, rows):
            found, cache = decoder.next_logits(ids, mask, places, cache)
        chosen = found.argmax(dim=-1).to(device)
        for number, token in zip(rows, chosen.tolist(), strict=True):
            if number not in done and token not in stops:
                replies[number].append(token)
            elif number not in done:
                done.add(number)
                meter.advance(1)
        if len(done) == len(prompts):
            break
        going = [place for place, number in enumerate(rows) if number not in done]
        # A model's own kind of cache may hold what is no row's.
        if len(going) < len(rows) and type(cache) is DynamicCache:
            rows = [rows[place] for place in going]
            kept: Any = torch.tensor(going, device=device)
            cache.reorder_cache(kept)
            chosen, mask, places = chosen[kept], mask[kept], places[kept]
        ids = chosen[:, None]
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
        places = places[:, -1:] + 1
    meter.advance(len(prompts) - len(done))
    return replies, set(prompts) - done
