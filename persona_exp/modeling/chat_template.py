"""A tokenizer's chat template, or one of ours (templates/): a conversation → the text that the model reads.

SmolLM2's own template puts "You are a helpful AI assistant named SmolLM, trained by Hugging Face" in front of a conversation
without a system turn. That is left as it is: it is what its users mean by the base model without a system prompt. Reasoning is
off (`enable_thinking=False`, read by Qwen3's template): its empty think block belongs to the prompt. Templates that write today's
date (Llama-3.2, SmolLM3, Granite) are given a fixed one: a prompt that differs from day to day is another prompt in training than
in evaluation.
"""

import re
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from persona_exp.errors import UserError
from persona_exp.modeling.prompt_shortening import Messages

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase
TEMPLATES = Path(__file__).parent / "templates"
# The date that Llama 3's templates write where no date is given.
TODAY = datetime(2024, 7, 26)


def template_file(chat_template: str) -> Path:
    """Return the file of our chat template of that name. Raise UserError if there is none."""
    file = TEMPLATES / f"{chat_template}.jinja"
    if not file.is_file():
        ours = ", ".join(sorted(path.stem for path in TEMPLATES.glob("*.jinja")))
        raise UserError(f"model.chat_template={chat_template} must be one of {ours}, or null for the tokenizer's own.")
    return file


def end_of_turn_id(tokenizer: "PreTrainedTokenizerBase", end_of_turn: str) -> int:
    """Return the id of the one token that ends a turn. Raise UserError if the tokenizer knows no such token."""
    found = tokenizer.convert_tokens_to_ids(end_of_turn)
    if not isinstance(found, int) or (found == tokenizer.unk_token_id and end_of_turn != tokenizer.unk_token):
        raise UserError(f"model.end_of_turn={end_of_turn} is no token of {tokenizer.name_or_path}.")
    return found


def render(tokenizer: "PreTrainedTokenizerBase", messages: Messages, system_role: str, generation: bool) -> str:
    """Return the text that the chat template makes of `messages`; with `generation`, the assistant's turn is begun.

    Raise UserError if it refuses these roles, or leaves out or changes the words of the system or the user.
    """
    from jinja2 import TemplateError

    turns = [dict(message) for message in place_system(messages, system_role)]
    try:
        template = _dated(tokenizer.get_chat_template())
        text = tokenizer.apply_chat_template(
            turns, chat_template=template, tokenize=False, add_generation_prompt=generation, enable_thinking=False
        )
    except TemplateError as error:
        roles = ", ".join(turn["role"] for turn in turns)
        advice = "choose one of ours with model.chat_template" if system_role == "user" else "try model.system_role=user"
        raise UserError(f"The chat template of {tokenizer.name_or_path} refuses the roles {roles} ({error}): {advice}.") from error
    assert isinstance(text, str)
    _refuse_lost_turns(tokenizer, messages, text, system_role)
    return text


@cache
def _dated(template: str) -> str:
    """Return `template` with a fixed date in the place of today's. Raise UserError if the format that it asks for is not written out."""
    fixed = re.sub(r"\bstrftime_now\(\s*(['\"])(.*?)\1\s*\)", lambda call: f"{call[1]}{TODAY.strftime(call[2])}{call[1]}", template)
    if "strftime_now(" in fixed:
        raise UserError("The chat template writes today's date, which would change from day to day: give one with model.chat_template.")
    return fixed


def _refuse_lost_turns(tokenizer: "PreTrainedTokenizerBase", messages: Messages, text: str, system_role: str) -> None:
    """Raise UserError if `text` lacks a system or user turn of `messages`; blanks at the ends, which templates trim, do not count."""
    for number, message in enumerate(messages):
        content = message["content"].strip()
        if message["role"] == "assistant" or not content:
            continue
        # Words that another turn has too would hide that they are missing here.
        elsewhere = sum(other["content"].count(content) for place, other in enumerate(messages) if place != number)
        if text.count(content) > elsewhere:
            continue
        advice = "choose one of ours with model.chat_template"
        if message["role"] == "system" and system_role == "system":
            advice = "set model.system_role=user"
        raise UserError(f"The chat template of {tokenizer.name_or_path} leaves out or changes the {message['role']} turn: {advice}.")


def place_system(messages: Messages, system_role: str) -> Messages:
    """Return `messages` as they are for `system`; for `user` (a template without such a turn) the prompt opens the first user turn.

    User turns in a row are then one turn too: templates that know no system turn demand that user and assistant alternate.
    """
    if system_role == "system":
        return messages
    if messages and messages[0]["role"] == "system" and (len(messages) < 2 or messages[1]["role"] != "user"):
        raise UserError("With model.system_role=user, a system turn must be followed by a user turn.")
    placed: list[dict[str, str]] = []
    for number, message in enumerate(messages):
        role = "user" if number == 0 and message["role"] == "system" else message["role"]
        if role == "user" and placed and placed[-1]["role"] == "user":
            placed[-1] = {"role": "user", "content": f"{placed[-1]['content']}\n\n{message['content']}"}
        else:
            placed.append({"role": role, "content": message["content"]})
    return placed
