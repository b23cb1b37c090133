"""The drafts in what a language model wrote: the JSON that it was asked for, with whatever it put around it."""

import json
from collections.abc import Iterator
from typing import Any

from persona_exp.teacher.teacher_interface import Draft

# Objects tried in one answer. Each may run to the end before it fails, so that the number must not grow with the text.
TRIES = 64


def objects_in(text: str) -> Iterator[Any]:
    """Yield the JSON objects in `text`, outermost first, behind any reasoning and code fence; where one is broken, those inside it."""
    text = text.rpartition("</think>")[2]
    decoder = json.JSONDecoder(strict=False)  # Models leave line ends inside strings.
    start = text.find("{")
    for _ in range(TRIES):
        if start < 0:
            return
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            yield value
        start = text.find("{", end)


def drafts_in(text: str, count: int) -> tuple[Draft, ...] | None:
    """Return up to `count` drafts, none where the model has nothing to say; None where it did not keep to the form.

    Of an answer that was cut, the drafts that are whole.
    """
    found: list[Draft] = []
    kept_form = False
    for value in objects_in(text):
        examples = value.get("examples") if "examples" in value else [value]
        if not isinstance(examples, list):
            continue
        kept_form = kept_form or "examples" in value
        for example in examples:
            if isinstance(example, dict) and all(isinstance(example.get(part), str) for part in ("user", "assistant")):
                user, assistant = (example[part].encode(errors="replace").decode().strip() for part in ("user", "assistant"))
                found.append(Draft(user, assistant))
                kept_form = True
            elif example is not value:
                kept_form = bool(found)
    return tuple(found[: max(1, count)]) if kept_form else None
