"""Who speaks, in a language model's reading of a whole scene, held to the names of a cast."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from persona_exp.errors import UserError
from persona_exp.teacher import prompts
from persona_exp.teacher.ask import complete_all
from persona_exp.teacher.budget import Budget
from persona_exp.teacher.completion import LanguageModel
from persona_exp.teacher.drafts import objects_in
from persona_exp.teacher.request import Teacher

NUMBER = re.compile(r"\s*\[?(\d{1,6})\]?\s*")


@dataclass(frozen=True)
class Scene:
    """Text in which `quotes` quotations are numbered from [1] (see `numbered`), and who may be speaking."""

    text: str
    quotes: int
    cast: tuple[str, ...]


def numbered(text: str, quotes: Sequence[Sequence[tuple[int, int]]]) -> str:
    """`text` with "[n] " in front of each piece of the n-th quotation, given by the offsets (start, end) of its pieces."""
    marks = sorted((start, number) for number, pieces in enumerate(quotes, start=1) for start, _ in pieces)
    parts = []
    last = 0
    for start, number in marks:
        parts += [text[last:start], f"[{number}] "]
        last = start
    return "".join((*parts, text[last:]))


def ask_speakers(
    teacher: Teacher, scenes: Sequence[Scene], *, cache: Path | None, budget: Budget, concurrency: int
) -> list[list[str | None]]:
    """For each scene, for each of its quotations in order, a name of its cast or None where the model names nobody in it.

    Cached and limited as `ask_all` is; UserError where the teacher is no language model.
    """
    if not isinstance(teacher, LanguageModel):
        raise UserError(f"teacher={teacher.name} cannot tell who speaks: use corpus.attribution=rules, or teacher=openai or local.")
    asked = [prompts.render_speakers(scene.text, scene.quotes, scene.cast) for scene in scenes]
    completions = complete_all(teacher, asked, cache=cache, budget=budget, concurrency=concurrency)
    return [speakers_in(completion.text, scene.quotes, scene.cast) for scene, completion in zip(scenes, completions, strict=True)]


def speakers_in(text: str, quotes: int, cast: Sequence[str]) -> list[str | None]:
    """The speakers that an answer names, as the cast spells them; None for each that is missing, null, or not in the cast."""
    names = {_plain(name): name for name in cast}
    found: list[str | None] = [None] * quotes
    for value in objects_in(text):
        told = value.get("speakers", value)
        if isinstance(told, list):
            told = {str(place): name for place, name in enumerate(told, start=1)}
        if not isinstance(told, dict):
            continue
        for label, name in told.items():
            number = NUMBER.fullmatch(label)
            if number and isinstance(name, str) and 1 <= int(number[1]) <= quotes:
                found[int(number[1]) - 1] = names.get(_plain(name))
        return found
    return found


def _plain(name: str) -> str:
    return " ".join(name.replace("’", "'").casefold().split())
