"""Conversations → tokens, with the loss on the assistant's words and end of turn alone.

A conversation is rendered twice, up to the assistant's turn with the generation prompt, and with it; what the second has more
is what the model must say. That holds for any template whose first rendering begins the second, which is checked, and needs no
mark in the template: the stock ones of Llama-3.1, Qwen3 and Gemma-3 carry none. Training thus sees the very prompt of generation.

SmolLM2's own template puts "You are a helpful AI assistant named SmolLM, trained by Hugging Face" in front of a conversation
without a system turn. That is left as it is: it is what its users mean by the base model without a system prompt. Reasoning is
off (`enable_thinking=False`, read by Qwen3's template): its empty think block belongs to the prompt. That template drops the
block from earlier turns, so for Qwen3 a conversation of several replies is refused.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from persona_exp.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100  # The label that PyTorch's cross entropy leaves out.

Messages = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Encoded:
    """One conversation in tokens.

    `labels[i]` is `input_ids[i]` where the token is supervised, else -100 (not shifted: Hugging Face models shift). `shortened`:
    the user's words lost their beginning to fit. `cut`: the conversation lost its end, and with it the last end of turn.
    """

    input_ids: list[int]
    labels: list[int]
    shortened: bool
    cut: bool


def encode(tokenizer: "PreTrainedTokenizerBase", messages: Messages, max_length: int, system_role: str, end_of_turn: str) -> Encoded:
    """Tokens and labels of a conversation that ends with the assistant; every assistant turn is supervised, its end included.

    Ends at the last end of turn: nothing behind it can be learnt from. Longer than `max_length`, the user's turns are shortened
    from their start, first turn first, whole words, at least one left; then the end is cut. UserError where the template cannot
    be split as the module says, changes a reply, or leaves no token to supervise within `max_length`.
    """
    if not messages or messages[-1]["role"] != "assistant":
        raise UserError("A training conversation must end with an assistant turn.")
    end_of_turn_id(tokenizer, end_of_turn)

    def pieces(turns: Messages) -> list[list[int]]:
        return _pieces(tokenizer, turns, system_role, end_of_turn)

    fitted = shorten(messages, lambda turns: sum(map(len, pieces(turns))), max_length)
    input_ids: list[int] = []
    labels: list[int] = []
    for number, piece in enumerate(pieces(fitted)):
        input_ids += piece
        labels += piece if number % 2 else [IGNORED] * len(piece)  # Prompt and reply take turns.
    cut = len(input_ids) > max_length
    labels = labels[:max_length]
    if all(label == IGNORED for label in labels):
        raise UserError(f"train.max_length={max_length} leaves no room for a reply: raise it or shorten persona.system_prompt.")
    return Encoded(input_ids[:max_length], labels, shortened=fitted is not messages, cut=cut)


def encode_prompt(tokenizer: "PreTrainedTokenizerBase", messages: Messages, max_length: int, system_role: str) -> list[int]:
    """Tokens of a conversation that ends with the user, and of the beginning of the assistant's turn, ready for generation.

    Longer than `max_length`, the user's turns are shortened as `encode` does; UserError where that is not enough.
    """

    def tokens(turns: Messages) -> list[int]:
        return _tokens(tokenizer, render(tokenizer, turns, system_role, generation=True))

    input_ids = tokens(shorten(messages, lambda turns: len(tokens(turns)), max_length))
    if len(input_ids) > max_length:
        raise UserError(f"A prompt of {len(input_ids)} tokens does not fit into {max_length}: shorten persona.system_prompt.")
    return input_ids


def end_of_turn_id(tokenizer: "PreTrainedTokenizerBase", end_of_turn: str) -> int:
    """The id of the one token that ends a turn. UserError where the tokenizer knows no such token."""
    found = tokenizer.convert_tokens_to_ids(end_of_turn)
    if not isinstance(found, int) or (found == tokenizer.unk_token_id and end_of_turn != tokenizer.unk_token):
        raise UserError(f"model.end_of_turn={end_of_turn} is no token of {tokenizer.name_or_path}.")
    return found


def render(tokenizer: "PreTrainedTokenizerBase", messages: Messages, system_role: str, generation: bool) -> str:
    """The text that the chat template makes of `messages`; with `generation`, the assistant's turn is begun."""
    from jinja2 import TemplateError

    turns = [dict(message) for message in place_system(messages, system_role)]
    try:
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=generation, enable_thinking=False)
    except TemplateError as error:
        roles = ", ".join(turn["role"] for turn in turns)
        raise UserError(
            f"The chat template of {tokenizer.name_or_path} refuses the roles {roles} ({error}): try model.system_role=user."
        ) from error
    assert isinstance(text, str)
    return text


def place_system(messages: Messages, system_role: str) -> Messages:
    """`messages` as they are for `system`; for `user` (a template without such a turn) the prompt opens the first user turn."""
    if system_role == "system" or not messages or messages[0]["role"] != "system":
        return messages
    if len(messages) < 2 or messages[1]["role"] != "user":
        raise UserError("With model.system_role=user, a system turn must be followed by a user turn.")
    merged = {"role": "user", "content": f"{messages[0]['content']}\n\n{messages[1]['content']}"}
    return [merged, *messages[2:]]


def shorten(messages: Messages, length: Callable[[Messages], int], room: int) -> Messages:
    """`messages` itself where `length(messages)` fits into `room`; else with the user's turns shortened from their start.

    Whole words go, the first turn's first, and each turn keeps its last word, also where that is still too long.
    """
    shortened = messages
    for index, turn in enumerate(messages):
        if length(shortened) <= room:
            break
        if turn["role"] == "user":
            shortened = _shorten_turn(shortened, index, length, room)
    return shortened


def _shorten_turn(messages: Messages, index: int, length: Callable[[Messages], int], room: int) -> Messages:
    """`messages` with as few words as will do, or all but one, taken from the start of turn `index`."""
    text = messages[index]["content"]
    starts = [word.start() for word in re.finditer(r"\S+", text)]
    if len(starts) < 2:
        return messages

    def without(words: int) -> Messages:
        return [*messages[:index], {**messages[index], "content": text[starts[words] :]}, *messages[index + 1 :]]

    fewest = bisect_left(range(len(starts) - 1), True, lo=1, key=lambda words: length(without(words)) <= room)
    return without(fewest)


def _pieces(tokenizer: "PreTrainedTokenizerBase", messages: Messages, system_role: str, end_of_turn: str) -> list[list[int]]:
    """Tokens of prompt, reply, prompt, reply … up to the last end of turn."""
    whole = render(tokenizer, messages, system_role, generation=False)
    cuts: list[int] = []
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        prompt = render(tokenizer, messages[:index], system_role, generation=True)
        until = render(tokenizer, messages[: index + 1], system_role, generation=False)
        reply, mark, _ = until[len(prompt) :].rpartition(end_of_turn)
        end = len(prompt) + len(reply) + len(mark)
        fault = None
        if not until.startswith(prompt) or not whole.startswith(until[:end]):
            fault = "writes the turns before a reply differently once it is there: choose one of ours with model.chat_template"
        elif not mark:
            fault = f"does not end the assistant's turn with {end_of_turn}: correct model.end_of_turn"
        elif reply.strip() != message["content"].strip():
            fault = "changes the words of a reply: choose one of ours with model.chat_template"
        if fault is not None:
            raise UserError(f"The chat template of {tokenizer.name_or_path} {fault}.")
        cuts += [len(prompt), end]
    return _split_tokens(tokenizer, whole[: cuts[-1]], cuts)


def _split_tokens(tokenizer: "PreTrainedTokenizerBase", text: str, cuts: Sequence[int]) -> list[list[int]]:
    """The tokens of `text`, parted at the character positions `cuts`, the last of which is its end.

    Cut from the tokens of the whole text where its beginnings have the same tokens, which is the rule. Where a token would lie
    across a cut (a reply that begins with a line break, behind a prompt that ends with one), the parts are tokenised apart: the
    prompt's tokens must be those that generation sees.
    """
    whole = _tokens(tokenizer, text)
    lengths = [0]
    for cut in cuts:
        beginning = _tokens(tokenizer, text[:cut])
        if whole[: len(beginning)] != beginning:
            return [_tokens(tokenizer, text[start:end]) for start, end in pairwise([0, *cuts])]
        lengths.append(len(beginning))
    return [whole[start:end] for start, end in pairwise(lengths)]


def _tokens(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    # The template writes the special tokens; the tokenizer must not add a second beginning of text.
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids
