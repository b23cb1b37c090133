"""Requests to a teacher: which passages and replies of a book become examples of which kind."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from persona_exp.corpus.cast.character import Character
from persona_exp.corpus.passages import Passage
from persona_exp.corpus.speaker_attribution.attribution_confidence import DEFAULT_CONFIDENCE
from persona_exp.dataset.annotated_book import AnnotatedBook
from persona_exp.dataset.dataset_recipe import PRONOUN_OF, Persona, Recipe
from persona_exp.dataset.era_knowledge import inventions_after, split_of_invention
from persona_exp.dataset.narrative_examples import first_person_chapters
from persona_exp.dataset.prose_normalisation import normalise_prose
from persona_exp.dataset.training_example import Example
from persona_exp.teacher.teacher_interface import Request, Voice

# Questions about one passage, at the most.
QUESTIONS = 2
# A persona that is not named within so many passages of one (about 600 words) is taken to be elsewhere.
AWAY = 3
# Those who are there hear speech, so only what is mostly narration can be unknown to an absent persona.
MOSTLY_NARRATED = 0.7
# In a chapter that never names the persona nobody's speech reaches it, unless the chapter is a tale that it hears: then nearly all of it is
# speech.
HARDLY_NARRATED = 0.35
# A shorter utterance shows no tone that a new scene could be written in.
MIN_SAMPLE_WORDS = 20
INVENTIONS = "inventions"


@dataclass(frozen=True)
class ExampleRequest:
    """A request to a teacher and what its answers become: examples of `kind`, from a passage, as sure as `confidence`.

    `key` is unique among the dataset's requests. `split` is empty where the passage decides it.
    """

    key: str
    kind: str
    book: str
    chapter: int
    passage: str
    confidence: float
    request: Request
    split: str = ""


def requests_about_book(
    annotated: AnnotatedBook, persona: Persona, recipe: Recipe, dialogue: Sequence[Example]
) -> Iterator[ExampleRequest]:
    """Yield all requests about a book in the persona's voice, of the kinds of `recipe`; `dialogue` are the book's dialogue examples."""
    voice = _voice(persona, next((one for one in annotated.characters if one.name == persona.name), persona.character))
    others = tuple(name for one in annotated.characters if one.name != persona.name for name in (one.name, *one.aliases))
    narrator = None if persona.narrator or annotated.narrator == persona.name else annotated.narrator
    present = annotated.presence(persona.name)
    narrated = first_person_chapters(annotated)
    for kind in recipe.kinds:
        if kind == "narrative" and not persona.narrator:
            # A narrator's own account needs no teacher.
            for passage in _selected(annotated.passages, present):
                yield _request_about(passage, Request(kind, voice, normalise_prose(passage.text), narrator, others))
        elif kind == "qa":
            known = [
                here or (persona.narrator and narrated[one.chapter - 1]) for here, one in zip(present, annotated.passages, strict=True)
            ]
            for passage in _selected(annotated.passages, known):
                yield _request_about(passage, Request(kind, voice, normalise_prose(passage.text), narrator, others, count=QUESTIONS))
        elif kind == "contrast":
            for passage in _selected(annotated.passages, _elsewhere(annotated, persona, present, narrated)):
                about = "other" if narrated[passage.chapter - 1] else "absent"
                yield _request_about(
                    passage, Request(kind, voice, normalise_prose(passage.text), narrator, others, about=about, count=QUESTIONS)
                )
        elif kind in ("transformed", "hypothetical"):
            yield from _requests_about_replies(kind, annotated, voice, narrator, others, dialogue)


def requests_about_inventions(persona: Persona) -> Iterator[ExampleRequest]:
    """Yield requests about what was invented after the persona's time: from no book, each with a split of its own."""
    voice = _voice(persona, persona.character)
    for name in inventions_after(voice.period):
        request = Request("contrast", voice, "", None, (), about=name)
        place = f"{INVENTIONS}/{name}"
        yield ExampleRequest(f"{place}.contrast.{voice.name}", "contrast", INVENTIONS, 0, place, 1.0, request, split_of_invention(name))


def _voice(persona: Persona, character: Character) -> Voice:
    """Return the persona with the names and the gender that the book gives it."""
    pronoun = persona.pronoun or PRONOUN_OF.get(character.gender or "", "they")
    aliases = tuple(dict.fromkeys((*persona.aliases, *character.aliases)))
    return Voice(persona.name, aliases, pronoun, persona.narrator, persona.period, persona.system_prompt, persona.evasions)


def _selected(passages: Sequence[Passage], chosen: Sequence[bool]) -> Iterator[Passage]:
    return (passage for passage, is_chosen in zip(passages, chosen, strict=True) if is_chosen)


def _request_about(passage: Passage, request: Request) -> ExampleRequest:
    key = f"{passage.book}.{passage.start}.{request.task}.{request.voice.name}"
    return ExampleRequest(key, request.task, passage.book, passage.chapter, passage.id, 1.0, request)


def _requests_about_replies(
    kind: str, annotated: AnnotatedBook, voice: Voice, narrator: str | None, others: tuple[str, ...], dialogue: Sequence[Example]
) -> Iterator[ExampleRequest]:
    passages = {passage.id: passage for passage in annotated.passages}
    for example in dialogue:
        if example.confidence < DEFAULT_CONFIDENCE or (kind == "hypothetical" and len(example.reply.split()) < MIN_SAMPLE_WORDS):
            continue
        passage = normalise_prose(passages[example.passage].text)
        request = Request(kind, voice, passage, narrator, others, user=example.messages[-2]["content"], reply=example.reply)
        key = f"{example.id.removesuffix('.dialogue')}.{kind}.{voice.name}"
        yield ExampleRequest(key, kind, example.book, example.chapter, example.passage, example.confidence, request)


def _elsewhere(annotated: AnnotatedBook, persona: Persona, present: Sequence[bool], narrated: Sequence[bool]) -> list[bool]:
    """Return for each passage whether it narrates what happened where the persona was not, or stands in a chapter without the persona."""
    without = _chapters_without(annotated, present)
    away = []
    for index, passage in enumerate(annotated.passages):
        near = range(max(0, index - AWAY), min(len(present), index + AWAY + 1))
        named = any(present[other] and annotated.passages[other].chapter == passage.chapter for other in near)
        hears = persona.narrator and narrated[passage.chapter - 1]
        unheard = passage.chapter in without or annotated.narrated_share(passage) >= MOSTLY_NARRATED
        away.append(not named and not hears and unheard)
    return away


def _chapters_without(annotated: AnnotatedBook, present: Sequence[bool]) -> set[int]:
    """Return the chapters that never name the persona and are no character's own tale."""
    narrated: dict[int, float] = {}
    length: dict[int, int] = {}
    for passage in annotated.passages:
        size = len(passage.text)
        narrated[passage.chapter] = narrated.get(passage.chapter, 0.0) + annotated.narrated_share(passage) * size
        length[passage.chapter] = length.get(passage.chapter, 0) + size
    named = {passage.chapter for passage, here in zip(annotated.passages, present, strict=True) if here}
    return {chapter for chapter in narrated if chapter not in named and narrated[chapter] >= HARDLY_NARRATED * length[chapter]}
