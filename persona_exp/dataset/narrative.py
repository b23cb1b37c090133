"""Narrative examples: what a narrator persona tells, as the reply to the paragraph before it."""

import re
from collections import Counter

from persona_exp.dataset.dialogue import NO_CONTEXT
from persona_exp.dataset.example import Example, messages
from persona_exp.dataset.prose import last_sentences, plain
from persona_exp.dataset.recipe import Persona, Recipe
from persona_exp.dataset.source import Source, lost_mark

# "I", "me", "my" and "myself" among the words outside quotations. A chapter told in the first person has twenty in a thousand and more,
# one told in the third, as in the middle of some first-person novels, next to none.
FIRST_PERSON_PER_WORD = 0.005
# A chapter with less narration than this is told as the book is.
ENOUGH_WORDS = 500
FIRST_PERSON = re.compile(r"\b(?:I|me|my|myself)\b")


def narrative(source: Source, persona: Persona, recipe: Recipe) -> tuple[list[Example], Counter[str]]:
    """Paragraphs of narration without quotations, in chapters told in the first person, with the count of what was left out, by reason.

    For a persona that narrates the book.
    """
    examples: list[Example] = []
    counts: Counter[str] = Counter()
    book = source.book
    narrated = told_in_first_person(source)
    for number, (paragraphs, quotes) in enumerate(zip(source.paragraphs, source.quotes, strict=True), start=1):
        if not narrated[number - 1]:
            counts["chapters not told by the narrator"] += 1
            continue
        spoken = {index for quote in quotes for index in range(quote.first, quote.last + 1)}
        # Behind a speech that lost its last mark, what looks like narration may be somebody's story.
        doubtful = {quote.last + 1 for quote in quotes if lost_mark(book.text, quote)}
        for index, paragraph in enumerate(paragraphs):
            told = book.text[paragraph.start : paragraph.end]
            if index in spoken or index in doubtful or re.search('[“”"]', told) or not index:
                continue
            reply = plain(told)
            if reply.endswith((":", "—", ",")):
                counts["narration that leads up to speech"] += 1
                continue
            length = len(reply.split())
            if not recipe.min_reply_words <= length <= recipe.max_reply_words:
                counts["narration too short" if length < recipe.min_reply_words else "narration too long"] += 1
                continue
            before = book.text[paragraphs[index - 1].start : paragraphs[index - 1].end]
            context, shortened = last_sentences(plain(before), recipe.max_context_words)
            counts["context cut"] += shortened
            examples.append(
                Example(
                    id=f"{book.id}.{paragraph.start}.narrative.{persona.name}",
                    kind="narrative",
                    persona=persona.name,
                    book=book.id,
                    chapter=number,
                    passage=source.passage_at(paragraph.start).id,
                    split="",
                    rule="narration",
                    confidence=1.0,
                    messages=messages(persona.prompt(recipe.contextual, book.id, number), context or NO_CONTEXT, reply),
                )
            )
    return examples, counts


def told_in_first_person(source: Source) -> list[bool]:
    """For each chapter whether it is told in the first person; one with little narration is told as the book is."""
    per_chapter = [_first_person(source.narration(number)) for number in range(1, len(source.paragraphs) + 1)]
    book = sum(count for count, _ in per_chapter), sum(words for _, words in per_chapter)
    rates = [count / words if words >= ENOUGH_WORDS else book[0] / max(1, book[1]) for count, words in per_chapter]
    return [rate >= FIRST_PERSON_PER_WORD for rate in rates]


def _first_person(narration: str) -> tuple[int, int]:
    """How many pronouns of the first person, and how many words."""
    return len(FIRST_PERSON.findall(narration)), len(narration.split())
