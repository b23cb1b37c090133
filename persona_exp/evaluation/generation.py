"""Greedy replies: what the model itself says first, the same each time."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from persona_exp.evaluation.mode import evaluating
from persona_exp.evaluation.voices import Voices, ordered, speaking
from persona_exp.progress import Meter, progress

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def generate(
    model: Any,
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[Sequence[Mapping[str, str]]],
    *,
    max_length: int,
    system_role: str,
    end_of_turn: str,
    max_new_tokens: int,
    batch_size: int,
    what: str = "generation",
    voices: Voices | None = None,
) -> list[str]:
    """The model's reply to each of `prompts` (conversations that end with a user turn), without its end-of-turn token.

    Greedy: no sampling, no penalties, whatever the model's own generation settings say. A reply ends at `end_of_turn`, at the
    tokenizer's end of text, or after `max_new_tokens`. Prompts longer than `max_length` tokens are shortened as in training.
    `batch_size` prompts of like length go together; `what` names the progress bar. `voices` says which adapter answers
    which, where the model has several.
    """
    from persona_exp.modeling.chat import encode_prompt, end_of_turn_id

    stops = {end_of_turn_id(tokenizer, end_of_turn), tokenizer.eos_token_id} - {None}
    ids = [encode_prompt(tokenizer, prompt, max_length, system_role) for prompt in prompts]
    order = sorted(range(len(ids)), key=lambda index: (-len(ids[index]), index))
    replies: dict[int, list[int]] = {}
    with evaluating(model), progress(what, len(order)) as meter:
        for start in range(0, len(order), batch_size):
            batch = ordered(voices, order[start : start + batch_size])
            replies |= _greedy(model, {index: ids[index] for index in batch}, stops, max_new_tokens, meter, voices)
    return [str(tokenizer.decode(replies[index], skip_special_tokens=True)).strip() for index in range(len(ids))]


def _greedy(
    model: Any,
    prompts: Mapping[int, Sequence[int]],
    stops: Collection[object],
    max_new_tokens: int,
    meter: Meter,
    voices: Voices | None,
) -> dict[int, list[int]]:
    """Token ids after each prompt, by its number and without the stop token. Prompts are padded on the left; a finished row leaves the
    batch.

    transformers' own `generate` fills every setting that it is not given from the model's generation config (Qwen2.5 ships a
    repetition penalty), hence this loop.
    """
    import torch

    device = model.get_input_embeddings().weight.device
    width = max(map(len, prompts.values()))
    ids = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in prompts.values()], device=device)
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts.values()], device=device)
    places = (mask.cumsum(dim=1) - 1).clamp(min=0)
    replies: dict[int, list[int]] = {number: [] for number in prompts}
    running = list(prompts)
    cache = None
    for _ in range(max_new_tokens):
        with torch.no_grad(), speaking(voices, running):
            output = model(input_ids=ids, attention_mask=mask, position_ids=places, past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache = output.past_key_values
        chosen = output.logits[:, -1].float().argmax(dim=-1).to(device)
        tokens = chosen.tolist()
        going = [place for place, token in enumerate(tokens) if token not in stops]
        for place in going:
            replies[running[place]].append(tokens[place])
        if len(going) < len(running):
            meter.advance(len(running) - len(going))
            running = [running[place] for place in going]
            if not running:
                break
            rows = torch.tensor(going, device=device)
            cache.batch_select_indices(rows)
            chosen, mask, places = chosen[rows], mask[rows], places[rows]
        ids = chosen[:, None]
        mask = torch.cat([mask, mask.new_ones(len(running), 1)], dim=1)
        places = places[:, -1:] + 1
    meter.advance(len(running))
    return replies
