"""Conversations → tokens, with the loss on the assistant's words and end of turn alone.

A conversation is rendered twice, up to the assistant's turn with the generation prompt, and with it; what the second has more
is what the model must say. That holds for any template whose first rendering begins the second, which is checked, and needs no
mark in the template: the stock ones of Llama-3.1, Qwen3 and Gemma-3 carry none. Training thus sees the very prompt of generation.
Qwen3's template drops the empty think block from earlier turns, so that a conversation of several replies is refused there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from persona_exp.errors import UserError
from persona_exp.modeling.chat_template import end_of_turn_id, render
from persona_exp.modeling.prompt_shortening import Messages, shorten

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase
IGNORED_LABEL = -100  # The label that PyTorch's cross entropy leaves out.


class DoesNotFit(UserError):
    """A conversation of which nothing that could be learnt or scored, or no prompt, fits into the length that is allowed."""


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
    """Return the tokens and labels of a conversation that ends with the assistant; every assistant turn is supervised, its end included.

    The tokens end at the last end of turn: nothing behind it can be learnt from. Longer than `max_length`, the user's turns are shortened
    from their start (`shorten`); then the end is cut. Raise DoesNotFit if that leaves no token to supervise, UserError if the template
    cannot be split as described above, changes a reply, or leaves out a turn.
    """
    known: dict[tuple[str, ...], list[list[int]]] = {}

    def pieces(turns: Messages) -> list[list[int]]:
        key = tuple(turn["content"] for turn in turns)
        if key not in known:
            known[key] = _pieces(tokenizer, turns, system_role, end_of_turn)
        return known[key]

    fitted = shorten(messages, lambda turns: sum(map(len, pieces(turns))), max_length)
    input_ids: list[int] = []
    labels: list[int] = []
    for number, piece in enumerate(pieces(fitted)):
        input_ids += piece
        labels += piece if number % 2 else [IGNORED_LABEL] * len(piece)  # Prompt and reply take turns.
    cut = len(input_ids) > max_length
    labels = labels[:max_length]
    if all(label == IGNORED_LABEL for label in labels):
        raise DoesNotFit(
            f"A length of {max_length} tokens leaves no room for a reply: raise train.max_length (evaluation.max_length where it is "
            "measured) or shorten persona.system_prompt."
        )
    return Encoded(input_ids[:max_length], labels, shortened=fitted is not messages, cut=cut)


def encoded_length(tokenizer: "PreTrainedTokenizerBase", messages: Messages, system_role: str, end_of_turn: str) -> int:
    """Return how many tokens `encode` makes of a conversation of which nothing is taken away."""
    return sum(map(len, _pieces(tokenizer, messages, system_role, end_of_turn)))


def encode_prompt(tokenizer: "PreTrainedTokenizerBase", messages: Messages, max_length: int, system_role: str) -> list[int]:
    """Return the tokens of a conversation that ends with the user, and of the beginning of the assistant's turn, ready for generation.

    Longer than `max_length`, the user's turns are shortened as `encode` does. Raise DoesNotFit if that is not enough.
    """

    def tokens(turns: Messages) -> list[int]:
        return _tokens(tokenizer, render(tokenizer, turns, system_role, generation=True))

    input_ids = tokens(shorten(messages, lambda turns: len(tokens(turns)), max_length))
    if len(input_ids) > max_length:
        raise DoesNotFit(f"A prompt of {len(input_ids)} tokens does not fit into {max_length}: shorten persona.system_prompt.")
    return input_ids


def _pieces(tokenizer: "PreTrainedTokenizerBase", messages: Messages, system_role: str, end_of_turn: str) -> list[list[int]]:
    """Return the tokens of prompt, reply, prompt, reply … up to the last end of turn. Raise UserError as `encode` does."""
    if not messages or messages[-1]["role"] != "assistant":
        raise UserError("A training conversation must end with an assistant turn.")
    end_of_turn_id(tokenizer, end_of_turn)
    whole = render(tokenizer, messages, system_role, generation=False)
    cuts: list[int] = []
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        prompt = render(tokenizer, messages[:index], system_role, generation=True)
        until = whole if index + 1 == len(messages) else render(tokenizer, messages[: index + 1], system_role, generation=False)
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
    """Return the tokens of `text`, split at the character positions `cuts`, the last of which is its end.

    Cut from the tokens of the whole text where its beginnings have the same tokens, which is the rule. Where a token would lie
    across a cut (a reply that begins with a line break, behind a prompt that ends with one), the parts are tokenised apart: the
    prompt's tokens must be those that generation sees.
    """
    whole = _tokens(tokenizer, text)
    lengths = [0]
    for cut in cuts:
        beginning = whole if cut == len(text) else _tokens(tokenizer, text[:cut])
        if whole[: len(beginning)] != beginning:
            return [_tokens(tokenizer, text[start:end]) for start, end in pairwise([0, *cuts])]
        lengths.append(len(beginning))
    return [whole[start:end] for start, end in pairwise(lengths)]


def _tokens(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    # The template writes the special tokens; the tokenizer must not add a second beginning of text.
    # What is too long is shortened, cut or counted here, so it need not warn.
    ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return ids
