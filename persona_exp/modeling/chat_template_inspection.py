"""What a tokenizer's chat template does with a conversation, found by rendering some: which of conf/model's settings it needs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_exp.errors import UserError
from persona_exp.modeling.chat_template import render
from persona_exp.modeling.supervised_token_mask import encode, encode_prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SYSTEM = {"role": "system", "content": "You are Dora Penhallow, keeper of the lamp."}
ONE = [{"role": "user", "content": "Who lit the lamp?"}, {"role": "assistant", "content": "I did, at dusk."}]
TWO = [*ONE, {"role": "user", "content": "And who put it out?"}, {"role": "assistant", "content": "The wind, at dawn."}]
ROOM = 100_000  # Longer than any of these becomes, whatever a template adds.
OPEN, CLOSED = ("<think>", "<|channel>thought"), ("</think>", "<channel|>")


@dataclass(frozen=True)
class ChatFormat:
    """`system`: a system turn is `kept`, `dropped` or `refused`; `system_role` is what model.system_role must then be. `end_of_turn`: the
    one token that ends the assistant's turn, None where there is none. `opening`: the text with which its turn begins in a prompt.
    `several_replies`: a conversation of several can be trained on. `dated`: the template asks for today's date. `faults`: why nothing
    can be trained with this template, a sentence each. `remarks`: what is worth knowing."""

    system: str
    system_role: str
    end_of_turn: str | None
    opening: str
    several_replies: bool
    dated: bool
    faults: tuple[str, ...]
    remarks: tuple[str, ...]


def chat_format(tokenizer: "PreTrainedTokenizerBase") -> ChatFormat:
    """Return what the chat template of `tokenizer`, which has one, does, with reasoning off as in training."""
    system = _system_turn(tokenizer)
    role = "system" if system == "kept" else "user"
    faults: list[str] = []
    remarks: list[str] = []
    end, opening, several = None, "", False
    try:
        end, opening = end_of_turn(tokenizer), _opening(tokenizer, role)
        if end is None:
            faults.append("No single token of its own ends the assistant's turn: choose one of ours with model.chat_template.")
        else:
            encode(tokenizer, [SYSTEM, *ONE], ROOM, role, end)
            several = _takes_several(tokenizer, role, end, remarks)
        faults += _beginning_faults(tokenizer, role)
    except UserError as error:
        faults.append(str(error))
    if any(mark in opening for mark in OPEN):
        if any(mark in opening for mark in CLOSED):
            remarks.append("Its prompts hold an empty block of reasoning, on which no loss falls.")
        else:
            faults.append("It opens a block of reasoning that nothing closes: choose one of ours with model.chat_template.")
    remarks += _beginning_remarks(tokenizer, role) if not faults else []
    return ChatFormat(system, role, end, opening, several, _dated(tokenizer), tuple(faults), tuple(remarks))


def end_of_turn(tokenizer: "PreTrainedTokenizerBase") -> str | None:
    """Return the token that the template writes behind the last reply; None where no token of the tokenizer's own stands there."""
    text = render(tokenizer, ONE, "user", generation=False)
    reply = ONE[-1]["content"]
    if reply not in text:
        raise UserError("The chat template leaves out or changes a reply: choose one of ours with model.chat_template.")
    behind = text.rpartition(reply)[2].lstrip()
    found = [token for token in _own_tokens(tokenizer) if behind.startswith(token)]
    return max(found, key=len, default=None)


def _own_tokens(tokenizer: "PreTrainedTokenizerBase") -> Iterator[str]:
    """Yield the tokens that stand for nothing in a text: special ones, and those that were added to the vocabulary."""
    yield from (token for token in tokenizer.all_special_tokens if token)
    yield from (str(token) for token in tokenizer.get_added_vocab() if str(token).strip())


def _system_turn(tokenizer: "PreTrainedTokenizerBase") -> str:
    try:
        text = render(tokenizer, [SYSTEM, *ONE[:1]], "system", generation=True)
    except UserError as error:
        # A template that raises is the cause of the sentence; one that loses the words is not.
        return "dropped" if error.__cause__ is None else "refused"
    return "kept" if SYSTEM["content"] in text else "dropped"


def _opening(tokenizer: "PreTrainedTokenizerBase", role: str) -> str:
    """Return what `add_generation_prompt` adds to a prompt."""
    prompt = [SYSTEM, *ONE[:1]]
    begun, without = (render(tokenizer, prompt, role, generation=generation) for generation in (True, False))
    # A finished text may have an end of its own.
    shared = next((at for at, (a, b) in enumerate(zip(begun, without, strict=False)) if a != b), min(len(begun), len(without)))
    return begun[shared:]


def _takes_several(tokenizer: "PreTrainedTokenizerBase", role: str, end: str, remarks: list[str]) -> bool:
    try:
        encode(tokenizer, [SYSTEM, *TWO], ROOM, role, end)
    except UserError as error:
        remarks.append(f"Conversations of several replies are refused: {error}")
        return False
    return True


def _beginning_faults(tokenizer: "PreTrainedTokenizerBase", role: str) -> list[str]:
    ids = encode_prompt(tokenizer, [SYSTEM, *ONE[:1]], ROOM, role)
    if tokenizer.bos_token_id is not None and ids[:2] == [tokenizer.bos_token_id] * 2:
        return ["It writes the beginning of text twice: choose one of ours with model.chat_template."]
    return []


def _beginning_remarks(tokenizer: "PreTrainedTokenizerBase", role: str) -> list[str]:
    begin = tokenizer.bos_token_id
    if begin is None or begin in encode_prompt(tokenizer, [SYSTEM, *ONE[:1]], ROOM, role)[:1]:
        return []
    added: list[int] = tokenizer("a")["input_ids"]
    if added[:1] != [begin]:
        return []
    return [f"It leaves out {tokenizer.bos_token}, with which this tokenizer begins every other text."]


def _dated(tokenizer: "PreTrainedTokenizerBase") -> bool:
    return "strftime_now" in str(tokenizer.chat_template)
