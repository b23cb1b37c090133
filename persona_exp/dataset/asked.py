"""What a teacher is asked about a book: which passages and replies become requests, of which kind."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from persona_exp.corpus.passages import Passage
from persona_exp.corpus.speakers import DEFAULT_CONFIDENCE, Character
from persona_exp.dataset.example import Example
from persona_exp.dataset.inventions import later_than, split_of
from persona_exp.dataset.narrative import told_in_first_person
from persona_exp.dataset.prose import plain
from persona_exp.dataset.recipe import PRONOUN_OF, Persona, Recipe
from persona_exp.dataset.source import Source
from persona_exp.teacher.request import Request, Voice

# Questions about one passage, at the most.
QUESTIONS = 2
# A persona that is not named within so many passages of one (about 600 words) is taken to be elsewhere.
AWAY = 3
# Speech is heard by whoever is there, so only what is mostly narration can be unknown to an absent persona.
MOSTLY_NARRATED = 0.7
# In a chapter that never names the persona nobody's speech reaches it, unless the chapter is a tale that is told to it: then nearly all of
# it is speech.
HARDLY_NARRATED = 0.35
# A shorter utterance shows no tone that a new scene could be written in.
MIN_SAMPLE_WORDS = 20
INVENTIONS = "inventions"


@dataclass(frozen=True)
class Asked:
    """A request and what its answers become: examples of `kind`, from a passage, as sure as `confidence`.

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


def ask_about(source: Source, persona: Persona, recipe: Recipe, said: Sequence[Example]) -> Iterator[Asked]:
    """All requests about a book in the persona's voice, of the kinds that `recipe` wants; `said` are its dialogue examples."""
    voice = _voice(persona, next((one for one in source.characters if one.name == persona.name), persona.character))
    others = tuple(name for one in source.characters if one.name != persona.name for name in (one.name, *one.aliases))
    narrator = None if persona.narrator or source.narrator == persona.name else source.narrator
    there = source.presence(persona.name)
    narrated = told_in_first_person(source)
    for kind in recipe.kinds:
        if kind == "narrative" and not persona.narrator:
            # A narrator's own account needs no teacher.
            for passage in _where(source.passages, there):
                yield _about(passage, Request(kind, voice, plain(passage.text), narrator, others))
        elif kind == "qa":
            told = [known or (persona.narrator and narrated[one.chapter - 1]) for known, one in zip(there, source.passages, strict=True)]
            for passage in _where(source.passages, told):
                yield _about(passage, Request(kind, voice, plain(passage.text), narrator, others, count=QUESTIONS))
        elif kind == "contrast":
            for passage in _where(source.passages, _elsewhere(source, persona, there, narrated)):
                about = "other" if narrated[passage.chapter - 1] else "absent"
                yield _about(passage, Request(kind, voice, plain(passage.text), narrator, others, about=about, count=QUESTIONS))
        elif kind in ("transformed", "hypothetical"):
            yield from _about_replies(kind, source, voice, narrator, others, said)


def ask_about_inventions(persona: Persona) -> Iterator[Asked]:
    """Requests about what was invented after the persona's time: no book's, each with its own split."""
    voice = _voice(persona, persona.character)
    for name in later_than(voice.period):
        request = Request("contrast", voice, "", None, (), about=name)
        place = f"{INVENTIONS}/{name}"
        yield Asked(f"{place}.contrast.{voice.name}", "contrast", INVENTIONS, 0, place, 1.0, request, split_of(name))


def _voice(persona: Persona, character: Character) -> Voice:
    """The persona with the names and the gender that a book tells."""
    pronoun = persona.pronoun or PRONOUN_OF.get(character.gender or "", "they")
    aliases = tuple(dict.fromkeys((*persona.aliases, *character.aliases)))
    return Voice(persona.name, aliases, pronoun, persona.narrator, persona.period, persona.system_prompt, persona.evasions)


def _where(passages: Sequence[Passage], chosen: Sequence[bool]) -> Iterator[Passage]:
    return (passage for passage, wanted in zip(passages, chosen, strict=True) if wanted)


def _about(passage: Passage, request: Request) -> Asked:
    key = f"{passage.book}.{passage.start}.{request.task}.{request.voice.name}"
    return Asked(key, request.task, passage.book, passage.chapter, passage.id, 1.0, request)


def _about_replies(
    kind: str, source: Source, voice: Voice, narrator: str | None, others: tuple[str, ...], said: Sequence[Example]
) -> Iterator[Asked]:
    passages = {passage.id: passage for passage in source.passages}
    for example in said:
        if example.confidence < DEFAULT_CONFIDENCE or (kind == "hypothetical" and len(example.reply.split()) < MIN_SAMPLE_WORDS):
            continue
        passage = plain(passages[example.passage].text)
        request = Request(kind, voice, passage, narrator, others, user=example.messages[-2]["content"], reply=example.reply)
        key = f"{example.id.removesuffix('.dialogue')}.{kind}.{voice.name}"
        yield Asked(key, kind, example.book, example.chapter, example.passage, example.confidence, request)


def _elsewhere(source: Source, persona: Persona, there: Sequence[bool], narrated: Sequence[bool]) -> list[bool]:
    """For each passage whether it is narration of what happened where the persona was not, or stands in a chapter without the persona."""
    without = _chapters_without(source, there)
    away = []
    for index, passage in enumerate(source.passages):
        near = range(max(0, index - AWAY), min(len(there), index + AWAY + 1))
        named = any(there[other] and source.passages[other].chapter == passage.chapter for other in near)
        hears = persona.narrator and narrated[passage.chapter - 1]
        unheard = passage.chapter in without or source.narrated_share(passage) >= MOSTLY_NARRATED
        away.append(not named and not hears and unheard)
    return away


def _chapters_without(source: Source, there: Sequence[bool]) -> set[int]:
    """The chapters that never name the persona and are no tale that somebody tells."""
    told: dict[int, float] = {}
    length: dict[int, int] = {}
    for passage in source.passages:
        size = len(passage.text)
        told[passage.chapter] = told.get(passage.chapter, 0.0) + source.narrated_share(passage) * size
        length[passage.chapter] = length.get(passage.chapter, 0) + size
    named = {passage.chapter for passage, here in zip(source.passages, there, strict=True) if here}
    return {chapter for chapter in told if chapter not in named and told[chapter] >= HARDLY_NARRATED * length[chapter]}
