"""A shard: what one book gives a dataset, kept on disk so that a changed input rebuilds only what it touches."""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from persona_exp.atomic_files import canonical_json, create_text, digest
from persona_exp.corpus.cast.character import Character
from persona_exp.corpus.passages import Passage
from persona_exp.corpus.quotation.quotes import Span
from persona_exp.dataset.annotated_book import annotate_book, with_speakers
from persona_exp.dataset.data_id import DATA_VERSION, recipe_fields
from persona_exp.dataset.dataset_recipe import Recipe
from persona_exp.dataset.dialogue_examples import dialogue_examples
from persona_exp.dataset.narrative_examples import narrative_examples
from persona_exp.dataset.teacher_examples import Rejected, count_rejections, examples_by_rules
from persona_exp.dataset.teacher_requests import ExampleRequest, requests_about_book
from persona_exp.dataset.training_example import Example
from persona_exp.teacher.llm_attribution import LLM_CONFIDENCE
from persona_exp.teacher.rules import RulesTeacher
from persona_exp.teacher.teacher_interface import Request, Voice

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BookShard:
    """`examples` have no split yet. `requests` are for a teacher still to answer; `left_out` and `rejected` count by reason."""

    title: str
    sha256: str
    chapters: int
    words: int
    passages: list[Passage]
    examples: list[Example]
    requests: list[ExampleRequest] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class ShardInput:
    """One book as a worker gets it. `shown`: a teacher may see it; speakers, by the place of a quotation, are given by hand (`speakers`)
    or by a teacher (`teacher_speakers`)."""

    path: Path
    sha256: str
    shown: bool
    cast: tuple[Character, ...]
    speakers: Mapping[Span, str] | None = None
    teacher_speakers: Mapping[Span, str] | None = None


def shard_id(book: ShardInput, recipe: Recipe, teacher: Mapping[str, Any]) -> str:
    """Return the digest of all that a shard is made from; the split is not among it."""
    fields = recipe_fields(recipe)
    for name in ("split", "validation", "test", "holdout", "validation_fraction", "test_fraction"):
        fields.pop(name, None)
    spans = [[[*span, speaker] for span, speaker in sorted((given or {}).items())] for given in (book.speakers, book.teacher_speakers)]
    inputs = [book.path.name, book.sha256, book.shown, [asdict(one) for one in book.cast], spans, book.speakers is None]
    return digest([DATA_VERSION, fields, dict(teacher), *inputs])[:24]


def make_shard(book: ShardInput, recipe: Recipe, rules: RulesTeacher | None) -> BookShard:
    """Return all that one book gives: its own examples, those of `rules`, and without `rules` the requests to another teacher."""
    annotated = annotate_book(book.path, recipe, book.cast, book.speakers)
    if book.teacher_speakers is not None:
        annotated = with_speakers(annotated, book.teacher_speakers, "teacher", LLM_CONFIDENCE)
    examples: list[Example] = []
    requests: list[ExampleRequest] = []
    left_out: Counter[str] = Counter()
    rejected: Rejected = {}
    for persona in recipe.personas:
        dialogue, counts = dialogue_examples(annotated, persona, recipe)
        left_out += counts
        examples += dialogue if "dialogue" in recipe.kinds else []
        if persona.narrator and "narrative" in recipe.kinds:
            narration, counts = narrative_examples(annotated, persona, recipe)
            left_out += counts
            examples += narration
        if not book.shown:
            continue
        about_persona = list(requests_about_book(annotated, persona, recipe, dialogue))
        if rules is None:
            requests += about_persona
        else:
            examples += examples_by_rules(about_persona, rules, recipe, rejected)
    text = annotated.book
    sizes = (len(text.chapters), len(text.text.split()))
    return BookShard(text.title, text.sha256, *sizes, list(annotated.passages), examples, requests, dict(+left_out), rejected)


def cached_shard(folder: Path, book: ShardInput, recipe: Recipe, rules: RulesTeacher | None, teacher: Mapping[str, Any]) -> BookShard:
    """Return the shard that an earlier build kept in `folder`, else make it and keep it there."""
    path = folder / f"{shard_id(book, recipe, teacher)}.json"
    if path.exists():
        try:
            return _read(path)
        except (ValueError, KeyError, TypeError):
            log.warning("%s is damaged; it is made again.", path)
            path.unlink()
    shard = make_shard(book, recipe, rules)
    kept = asdict(shard)
    # The file's own word for them.
    kept["asked"] = kept.pop("requests")
    body = canonical_json(kept)
    create_text(path, f"{hashlib.sha256(body.encode()).hexdigest()}\n{body}")
    return shard


def _read(path: Path) -> BookShard:
    sha256, _, body = path.read_text(encoding="utf-8").partition("\n")
    if hashlib.sha256(body.encode()).hexdigest() != sha256:
        raise ValueError("the digest on the first line is not the rest's")
    kept = json.loads(body)
    kept["passages"] = [Passage(**one) for one in kept["passages"]]
    kept["examples"] = [Example(**one) for one in kept["examples"]]
    kept["requests"] = [ExampleRequest(**{**one, "request": _request(one["request"])}) for one in kept.pop("asked")]
    return BookShard(**kept)


def _request(kept: dict[str, Any]) -> Request:
    voice = kept["voice"]
    voice |= {"aliases": tuple(voice["aliases"]), "evasions": tuple(voice["evasions"])}
    return Request(**{**kept, "voice": Voice(**voice), "others": tuple(kept["others"])})


def merge_shards(shards: Sequence[BookShard]) -> tuple[list[Example], list[ExampleRequest], Counter[str], Rejected]:
    """Return all shards' examples, open requests and counts, in the order of the shards."""
    left_out: Counter[str] = Counter()
    rejected: Rejected = {}
    for shard in shards:
        left_out.update(shard.left_out)
        for kind, reasons in shard.rejected.items():
            count_rejections(rejected, kind, reasons)
    return [one for shard in shards for one in shard.examples], [one for shard in shards for one in shard.requests], left_out, rejected
