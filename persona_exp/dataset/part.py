"""A part: what one book gives a dataset, kept on disk so that a changed input rebuilds only what it touches."""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from persona_exp.corpus.passages import Passage
from persona_exp.corpus.quotation.quotes import Span
from persona_exp.corpus.speakers import Character
from persona_exp.dataset.asked import Asked, ask_about
from persona_exp.dataset.derived import Rejected, derive
from persona_exp.dataset.dialogue import dialogue
from persona_exp.dataset.example import Example
from persona_exp.dataset.narrative import narrative
from persona_exp.dataset.recipe import DATA_VERSION, Recipe, recipe_fields
from persona_exp.dataset.source import read_source, with_speakers
from persona_exp.files import canonical_json, create_text, digest
from persona_exp.teacher.request import Request, Teacher, Voice

log = logging.getLogger(__name__)

# A teacher's word on who speaks, beside the rules' own confidences: about what Llama-3-8B reaches on PDNC without training.
TEACHER_CONFIDENCE = 0.9


@dataclass(frozen=True)
class Part:
    """`examples` have no split yet. `asked` are requests that a teacher has still to answer; `left_out`, `rejected` count by reason."""

    title: str
    sha256: str
    chapters: int
    words: int
    passages: list[Passage]
    examples: list[Example]
    asked: list[Asked] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Material:
    """One book as a worker gets it. `shown`: a teacher may see it; `speakers` are given by hand, `told` by a teacher, both by the place of
    a quotation."""

    path: Path
    sha256: str
    shown: bool
    cast: tuple[Character, ...]
    speakers: Mapping[Span, str] | None = None
    told: Mapping[Span, str] | None = None


def part_id(material: Material, recipe: Recipe, teacher: Mapping[str, Any]) -> str:
    """Names a part by all that it is made from; the split is not among it."""
    fields = recipe_fields(recipe)
    for name in ("split", "validation", "test", "holdout", "validation_fraction", "test_fraction"):
        fields.pop(name, None)
    spans = [[[*span, speaker] for span, speaker in sorted((given or {}).items())] for given in (material.speakers, material.told)]
    what = [material.path.name, material.sha256, material.shown, [asdict(one) for one in material.cast], spans, material.speakers is None]
    return digest([DATA_VERSION, fields, dict(teacher), *what])[:24]


def make_part(material: Material, recipe: Recipe, rules: Teacher | None) -> Part:
    """Everything that one book gives: its own examples, those of `rules`, and the requests that another teacher must answer."""
    source = read_source(material.path, recipe, material.cast, material.speakers)
    if material.told is not None:
        source = with_speakers(source, material.told, "teacher", TEACHER_CONFIDENCE)
    examples: list[Example] = []
    asked: list[Asked] = []
    left_out: Counter[str] = Counter()
    rejected: Rejected = {}
    for persona in recipe.personas:
        said, counts = dialogue(source, persona, recipe)
        left_out += counts
        examples += said if "dialogue" in recipe.kinds else []
        if persona.narrator and "narrative" in recipe.kinds:
            told, counts = narrative(source, persona, recipe)
            left_out += counts
            examples += told
        if not material.shown:
            continue
        requests = list(ask_about(source, persona, recipe, said))
        if rules is None:
            asked += requests
        else:
            examples += derive(requests, rules, recipe, rejected)
    book = source.book
    counts_of_book = (len(book.chapters), len(book.text.split()))
    return Part(book.title, book.sha256, *counts_of_book, list(source.passages), examples, asked, dict(+left_out), rejected)


def kept_part(folder: Path, material: Material, recipe: Recipe, rules: Teacher | None, teacher: Mapping[str, Any]) -> Part:
    """The part as an earlier build kept it in `folder`, else made now and kept."""
    path = folder / f"{part_id(material, recipe, teacher)}.json"
    if path.exists():
        try:
            return _read(path)
        except (ValueError, KeyError, TypeError):
            log.warning("%s is damaged; it is made again.", path)
            path.unlink()
    part = make_part(material, recipe, rules)
    body = canonical_json(asdict(part))
    create_text(path, f"{hashlib.sha256(body.encode()).hexdigest()}\n{body}")
    return part


def _read(path: Path) -> Part:
    sha256, _, body = path.read_text(encoding="utf-8").partition("\n")
    if hashlib.sha256(body.encode()).hexdigest() != sha256:
        raise ValueError("the digest on the first line is not the rest's")
    told = json.loads(body)
    told["passages"] = [Passage(**one) for one in told["passages"]]
    told["examples"] = [Example(**one) for one in told["examples"]]
    told["asked"] = [Asked(**{**one, "request": _request(one["request"])}) for one in told["asked"]]
    return Part(**told)


def _request(told: dict[str, Any]) -> Request:
    voice = told["voice"]
    voice |= {"aliases": tuple(voice["aliases"]), "evasions": tuple(voice["evasions"])}
    return Request(**{**told, "voice": Voice(**voice), "others": tuple(told["others"])})


def merge(parts: Sequence[Part]) -> tuple[list[Example], list[Asked], Counter[str], Rejected]:
    """All parts' examples, open requests and counts, in the order of the parts."""
    left_out: Counter[str] = Counter()
    rejected: Rejected = {}
    for part in parts:
        left_out.update(part.left_out)
        for kind, reasons in part.rejected.items():
            rejected.setdefault(kind, {})
            for reason, count in reasons.items():
                rejected[kind][reason] = rejected[kind].get(reason, 0) + count
    return [one for part in parts for one in part.examples], [one for part in parts for one in part.asked], left_out, rejected
