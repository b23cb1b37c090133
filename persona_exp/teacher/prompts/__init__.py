"""What language models are asked: one versioned file a task, and the parts that they share."""

import hashlib
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import jinja2
import jinja2.meta

from persona_exp.atomic_files import digest as value_digest
from persona_exp.errors import UserError
from persona_exp.teacher.teacher_interface import Request

FOLDER = Path(__file__).parent
# A changed prompt is a new file: the old one still says what older data was made with.
FILES = {
    "narrative": "narrative.v1.jinja",
    "qa": "qa.v1.jinja",
    "transformed": "transformed.v1.jinja",
    "hypothetical": "hypothetical.v1.jinja",
    "contrast": "contrast.v1.jinja",
}
SPEAKERS = "speakers.v1.jinja"

Message = dict[str, str]


def render(request: Request) -> list[Message]:
    """Return the conversation that asks for `request`.

    One user turn: many models' templates know no system turn, and what all requests of a persona share comes first, where endpoints
    that keep a prompt's beginning charge less for it.
    """
    if request.task not in FILES:
        raise UserError(f"There is no prompt for {request.task}: the tasks are {', '.join(FILES)}.")
    text = _environment().get_template(FILES[request.task]).render(request=request, voice=request.voice)
    return [{"role": "user", "content": text.strip()}]


def render_speakers(scene: str, quotes: int, cast: Sequence[str]) -> list[Message]:
    """Return the conversation that asks who speaks the `quotes` quotations, numbered [1], [2], … in `scene`."""
    text = _environment().get_template(SPEAKERS).render(scene=scene, quotes=quotes, cast=list(cast))
    return [{"role": "user", "content": text.strip()}]


@cache
def digest(*files: str) -> str:
    """Return the SHA-256 (64 hex digits) over the prompt files named, by default all, and over the parts that they include."""
    names = _with_parts(files or (*FILES.values(), SPEAKERS))
    return value_digest({name: hashlib.sha256(_source(name).encode()).hexdigest() for name in names})


@cache
def own_words() -> tuple[str, ...]:
    """Return the stretches of all prompts that are the same whatever is asked."""
    pieces: list[str] = []
    for name in _with_parts((*FILES.values(), SPEAKERS)):
        pieces += re.split(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", _source(name), flags=re.DOTALL)
    return tuple(piece for piece in pieces if piece.strip())


def _with_parts(files: Sequence[str]) -> list[str]:
    found: list[str] = []
    pending = sorted(files)
    while pending:
        name = pending.pop(0)
        if name not in found:
            found.append(name)
            parsed = _environment().parse(_source(name))
            pending += sorted(part for part in jinja2.meta.find_referenced_templates(parsed) if part)
    return sorted(found)


def _source(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )
