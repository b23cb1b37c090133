"""Attribution by a language model: who speaks the numbered quotations of a scene, held to the names of a cast."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from persona_exp.teacher import prompts
from persona_exp.teacher.concurrent_calls import TeacherCalls, complete_all
from persona_exp.teacher.draft_parsing import objects_in

# How sure a language model's attribution is, beside the rules' own confidences: about what Llama-3-8B reaches on PDNC without training.
LLM_CONFIDENCE = 0.9
NUMBER = re.compile(r"\s*\[?(\d{1,6})\]?\s*")


@dataclass(frozen=True)
class Scene:
    """Text in which `quotes` quotations are numbered from [1] (see `numbered`), and who may be speaking."""

    text: str
    quotes: int
    cast: tuple[str, ...]


def numbered(text: str, quotes: Sequence[Sequence[tuple[int, int]]]) -> str:
    """Return `text` with "[n] " in front of each piece of the n-th quotation, given by the offsets (start, end) of its pieces."""
    marks = sorted((start, number) for number, pieces in enumerate(quotes, start=1) for start, _ in pieces)
    parts = []
    last = 0
    for start, number in marks:
        parts += [text[last:start], f"[{number}] "]
        last = start
    return "".join((*parts, text[last:]))


def ask_speakers(calls: TeacherCalls, scenes: Sequence[Scene]) -> list[list[str | None]]:
    """Return for each scene, for each of its quotations in order, a name of its cast or None where the model names nobody in it.

    Raise as `ask_all` does.
    """
    completions = complete_all(calls, [prompts.render_speakers(scene.text, scene.quotes, scene.cast) for scene in scenes])
    return [speakers_in(completion.text, scene.quotes, scene.cast) for scene, completion in zip(scenes, completions, strict=True)]


def speakers_in(text: str, quotes: int, cast: Sequence[str]) -> list[str | None]:
    """Return the speakers that an answer names, as the cast spells them; None for each that is missing, null, or not in the cast."""
    names = {_plain(name): name for name in cast}
    found: list[str | None] = [None] * quotes
    for value in objects_in(text):
        speakers = value.get("speakers", value)
        if isinstance(speakers, list):
            speakers = {str(place): name for place, name in enumerate(speakers, start=1)}
        if not isinstance(speakers, dict):
            continue
        for label, name in speakers.items():
            number = NUMBER.fullmatch(label)
            if number and isinstance(name, str) and 1 <= int(number[1]) <= quotes:
                found[int(number[1]) - 1] = names.get(_plain(name))
        return found
    return found


def _plain(name: str) -> str:
    return " ".join(name.replace("’", "'").casefold().split())
