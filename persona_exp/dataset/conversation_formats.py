"""Files of conversations in the formats that other programs read and write, one JSON object a line.

What each of them keeps:
    messages           all of an example: this is our own file
    prompt-completion  all: `prompt` and `completion` are lists of messages as TRL takes them; the rest is under `metadata`
    sharegpt           all: `conversations` of `from` and `value`, the system turn first among them; the rest is under `metadata`
    alpaca             all of conversations that alternate (instruction, output, system, history); the rest is under `metadata`
    mistral            the conversation only: the schema has no place for where it comes from, and takes no empty turn
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from persona_exp.atomic_files import canonical_json, write_text
from persona_exp.dataset.training_example import SPLITS, Example, Message
from persona_exp.errors import UserError

FORMATS = ("messages", "prompt-completion", "sharegpt", "alpaca", "mistral")
# Other programs' names for who speaks.
ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
}
SHAREGPT = {"system": "system", "user": "human", "assistant": "gpt"}
SPLIT_NAMES = {
    **{split: split for split in SPLITS},
    **{"training": "train", "valid": "validation", "val": "validation", "dev": "validation", "eval": "validation", "testing": "test"},
}
DEFAULTS: dict[str, Any] = {
    "id": "",
    "kind": "",
    "persona": "",
    "book": "",
    "chapter": 0,
    "passage": "",
    "split": "",
    "rule": "",
    "confidence": 0.0,
}


class _Wrong(Exception):
    """What is wrong with one conversation, for a sentence that begins with where it stands."""


def write_conversations(examples: Iterable[Example], path: Path, format: str) -> int:
    """Write `examples` in order to `path`, whole or not at all, and return how many. Equal examples give equal bytes.

    Raise UserError for an unknown format, or an example that the format cannot hold.
    """
    if format not in FORMATS:
        raise UserError(f"There is no format {format}; take one of {', '.join(FORMATS)}.")
    lines = []
    for one in examples:
        try:
            lines.append(canonical_json(_WRITERS[format](one)) + "\n")
        except _Wrong as wrong:
            raise UserError(f"The example {one.id} does not fit the format {format}: {wrong}; write it as messages or sharegpt.") from None
    write_text(path, "".join(lines))
    return len(lines)


def read_conversations(path: Path, format: str | None = None) -> list[Example]:
    """Return the examples of a JSONL file or a JSON list in `format` (None: found from each object's keys).

    What the file does not say is empty, but for `id` (the file's name and the line) and `split` (the file's name, if it is one). A
    file of the format mistral reads as one of messages; asked for by name, its rules are checked too. Raise
    UserError for a file that is missing, not UTF-8 or not JSON, or a conversation that is malformed, with its line.
    """
    if format not in (None, *FORMATS):
        raise UserError(f"There is no format {format}; take one of {', '.join(FORMATS)}.")
    examples = []
    for place, value in _objects(path):
        try:
            examples.append(_example(value, format, path, place))
        except _Wrong as wrong:
            raise UserError(f"{place} of {path} is no conversation: {wrong}; correct it or leave it out.") from None
    return examples


def detect(value: Mapping[str, Any]) -> str | None:
    """Return the format of one conversation by its keys; None where it is none of ours."""
    for key, format in (
        ("messages", "messages"),
        ("conversations", "sharegpt"),
        ("completion", "prompt-completion"),
        ("instruction", "alpaca"),
    ):
        if key in value:
            return format
    return None


def split_of_file(path: Path) -> str:
    """Return the split that a file's name says: `val.jsonl` is validation; empty where it says none."""
    return SPLIT_NAMES.get(path.stem.casefold(), "")


def _objects(path: Path) -> Iterable[tuple[str, dict[str, Any]]]:
    """Yield the JSON objects of a file, each with its place in words."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError:
        raise UserError(f"The file {path} cannot be read; correct its name.") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UserError(f"Line {line} of {path} is not UTF-8; save the file in UTF-8.") from None
    if text.lstrip()[:1] == "[":
        values = _parse(text, str(path))
        places = [(f"Conversation {number}", value) for number, value in enumerate(values, start=1)]
    else:
        # Not splitlines: a conversation may hold other characters that end lines.
        lines = enumerate(text.split("\n"), start=1)
        places = [(f"Line {number}", _parse(line, f"Line {number} of {path}")) for number, line in lines if line.strip()]
    for place, value in places:
        if not isinstance(value, dict):
            raise UserError(f"{place} of {path} is not a JSON object; write one conversation as one object.")
        yield place, value


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_number)
    except RecursionError:
        raise UserError(f"{where} is nested too deeply for a conversation; leave it out.") from None
    except ValueError as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        # In a list of many lines the place of the fault is what one looks for.
        line = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) and "\n" in text else ""
        raise UserError(f"{where} is not JSON: {reason}{line}; correct it or leave it out.") from None


def _no_number(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON number")


def _example(value: Mapping[str, Any], format: str | None, path: Path, place: str) -> Example:
    format = format or detect(value)
    if format is None:
        raise _Wrong("it has none of the keys messages, conversations, completion and instruction")
    conversation = _READERS[format](value)
    if not any(message["role"] == "assistant" for message in conversation):
        raise _Wrong("nobody answers in it")
    beside = value if format == "messages" else value.get("metadata", {})
    if not isinstance(beside, Mapping):
        raise _Wrong("metadata is not an object")
    known = {name: _field(name, beside[name]) if beside.get(name) is not None else default for name, default in DEFAULTS.items()}
    known["id"] = known["id"] or f"{path.stem}.{place.split()[-1]}"
    known["split"] = known["split"] or split_of_file(path)
    return Example(**known, messages=conversation)


def _field(name: str, value: Any) -> Any:
    """Return a field of an example in its own type: programs differ in how they write numbers."""
    default = DEFAULTS[name]
    try:
        if isinstance(default, str) and not isinstance(value, str):
            value = canonical_json(value)
        return _unicode(value) if isinstance(default, str) else type(default)(value)
    except (TypeError, ValueError, OverflowError):
        raise _Wrong(f"{name} is not a {'number' if not isinstance(default, str) else 'text'}") from None


def _unicode(text: Any, what: str = "a text") -> str:
    if not isinstance(text, str):
        raise _Wrong(f"{what} is not a text")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _Wrong(f"{what} holds half of a character (a lone surrogate)") from None
    return text


def _turns(value: Any, role: str, content: str, list_name: str) -> list[Message]:
    if not isinstance(value, list):
        raise _Wrong(f"{list_name} is not a list")
    turns = []
    for number, turn in enumerate(value, start=1):
        if not isinstance(turn, Mapping) or role not in turn or content not in turn:
            raise _Wrong(f"turn {number} of {list_name} is not an object with {role} and {content}")
        who = ROLES.get(turn[role]) if isinstance(turn[role], str) else None
        if who is None:
            raise _Wrong(f"turn {number} of {list_name} is by {turn[role]!r}, who is none of system, user and assistant")
        turns.append({"role": who, "content": _unicode(turn[content], f"turn {number} of {list_name}")})
    return turns


def _from_messages(value: Mapping[str, Any]) -> list[Message]:
    return _turns(value.get("messages"), "role", "content", "messages")


def _from_prompt(value: Mapping[str, Any]) -> list[Message]:
    turns: list[Message] = []
    for key, role in (("prompt", "user"), ("completion", "assistant")):
        part = value.get(key)
        turns += [{"role": role, "content": _unicode(part, key)}] if not isinstance(part, list) else _turns(part, "role", "content", key)
    return turns


def _from_sharegpt(value: Mapping[str, Any]) -> list[Message]:
    turns = _turns(value.get("conversations"), "from", "value", "conversations")
    # Some programs keep the system turn beside the conversation; an empty one there means that there is none.
    beside = [{"role": "system", "content": _unicode(value["system"], "system")}] if value.get("system") else []
    return beside + turns


def _from_alpaca(value: Mapping[str, Any]) -> list[Message]:
    turns = [{"role": "system", "content": _unicode(value["system"], "system")}] if value.get("system") is not None else []
    history = value.get("history") or []
    if not isinstance(history, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in history):
        raise _Wrong("history is not a list of pairs")
    asked = _unicode(value.get("instruction"), "instruction")
    if value.get("input"):
        asked = f"{asked}\n{_unicode(value['input'], 'input')}" if asked else _unicode(value["input"], "input")
    for question, answer in [*history, [asked, value.get("output")]]:
        turns.append({"role": "user", "content": _unicode(question, "a question")})
        turns.append({"role": "assistant", "content": _unicode(answer, "output")})
    return turns


def _from_mistral(value: Mapping[str, Any]) -> list[Message]:
    turns = _from_messages(value)
    _check_mistral(turns)
    return turns


def _to_messages(one: Example) -> dict[str, Any]:
    return asdict(one)


def _to_prompt(one: Example) -> dict[str, Any]:
    if not one.messages:
        raise _Wrong("it is empty")
    return {"prompt": one.messages[:-1], "completion": one.messages[-1:], "metadata": _metadata(one)}


def _to_sharegpt(one: Example) -> dict[str, Any]:
    turns = [{"from": SHAREGPT[message["role"]], "value": message["content"]} for message in one.messages]
    return {"conversations": turns, "metadata": _metadata(one)}


def _to_alpaca(one: Example) -> dict[str, Any]:
    system, turns = _alternating(one.messages)
    pairs = [[turns[place], turns[place + 1]] for place in range(0, len(turns), 2)]
    beside: dict[str, Any] = {"metadata": _metadata(one)}
    beside |= {} if system is None else {"system": system}
    beside |= {"history": pairs[:-1]} if pairs[:-1] else {}
    return {"instruction": pairs[-1][0], "input": "", "output": pairs[-1][1], **beside}


def _to_mistral(one: Example) -> dict[str, Any]:
    # An empty system turn says nothing, and the schema has no empty turns.
    turns = [message for message in one.messages if message["content"].strip() or message["role"] != "system"]
    _check_mistral(turns)
    return {"messages": turns}


def _check_mistral(turns: Sequence[Message]) -> None:
    """Check Mistral's fine-tuning schema: a system turn or none, then user and assistant in turn, none of them empty, the last an
    answer."""
    _alternating(turns)
    if any(not message["content"].strip() for message in turns):
        raise _Wrong("a turn is empty")


def _alternating(turns: Sequence[Message]) -> tuple[str | None, list[str]]:
    """Return the system prompt (None without one) and the other turns' contents, which are the user's and the assistant's in turn."""
    system = turns[0]["content"] if turns and turns[0]["role"] == "system" else None
    rest = turns[0 if system is None else 1 :]
    if not rest or len(rest) % 2 or any(turn["role"] != ("user", "assistant")[place % 2] for place, turn in enumerate(rest)):
        raise _Wrong("user and assistant do not take turns, the user first and the assistant last")
    return system, [turn["content"] for turn in rest]


def _metadata(one: Example) -> dict[str, Any]:
    return {field.name: getattr(one, field.name) for field in fields(one) if field.name != "messages"}


_READERS: dict[str, Callable[[Mapping[str, Any]], list[Message]]] = {
    "messages": _from_messages,
    "prompt-completion": _from_prompt,
    "sharegpt": _from_sharegpt,
    "alpaca": _from_alpaca,
    "mistral": _from_mistral,
}
_WRITERS: dict[str, Callable[[Example], dict[str, Any]]] = {
    "messages": _to_messages,
    "prompt-completion": _to_prompt,
    "sharegpt": _to_sharegpt,
    "alpaca": _to_alpaca,
    "mistral": _to_mistral,
}
