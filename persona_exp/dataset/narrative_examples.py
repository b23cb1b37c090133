"""Narrative examples: a narrator persona's own narration, as the reply to the paragraph before it."""

import re
from collections import Counter

from persona_exp.dataset.annotated_book import AnnotatedBook, lost_mark
from persona_exp.dataset.dataset_recipe import Persona, Recipe
from persona_exp.dataset.dialogue_examples import NO_CONTEXT
from persona_exp.dataset.prose_normalisation import last_sentences, normalise_prose
from persona_exp.dataset.training_example import Example, messages

# "I", "me", "my" and "myself" among the words outside quotations. A chapter in the first person has twenty in a thousand and more,
# one in the third, as in the middle of some first-person novels, next to none.
FIRST_PERSON_PER_WORD = 0.005
# A chapter with less narration than this counts as the book does.
ENOUGH_WORDS = 500
FIRST_PERSON = re.compile(r"\b(?:I|me|my|myself)\b")


def narrative_examples(annotated: AnnotatedBook, persona: Persona, recipe: Recipe) -> tuple[list[Example], Counter[str]]:
    """Return paragraphs of first-person narration without quotations as examples, with the count of what was left out, by reason.

    For a persona that narrates the book.
    """
    examples: list[Example] = []
    counts: Counter[str] = Counter()
    book = annotated.book
    in_first_person = first_person_chapters(annotated)
    for number, (paragraphs, quotes) in enumerate(zip(annotated.paragraphs, annotated.quotes, strict=True), start=1):
        if not in_first_person[number - 1]:
            counts["chapters not told by the narrator"] += 1
            continue
        spoken = {index for quote in quotes for index in range(quote.first, quote.last + 1)}
        # Behind a speech that lost its last mark, what looks like narration may be a character's story.
        doubtful = {quote.last + 1 for quote in quotes if lost_mark(book.text, quote)}
        for index, paragraph in enumerate(paragraphs):
            narration = book.text[paragraph.start : paragraph.end]
            if index in spoken or index in doubtful or re.search('[“”"]', narration) or not index:
                continue
            reply = normalise_prose(narration)
            if reply.endswith((":", "—", ",")):
                counts["narration that leads up to speech"] += 1
                continue
            length = len(reply.split())
            if not recipe.min_reply_words <= length <= recipe.max_reply_words:
                counts["narration too short" if length < recipe.min_reply_words else "narration too long"] += 1
                continue
            before = book.text[paragraphs[index - 1].start : paragraphs[index - 1].end]
            context, shortened = last_sentences(normalise_prose(before), recipe.max_context_words)
            counts["context cut"] += shortened
            examples.append(
                Example(
                    id=f"{book.id}.{paragraph.start}.narrative.{persona.name}",
                    kind="narrative",
                    persona=persona.name,
                    book=book.id,
                    chapter=number,
                    passage=annotated.passage_at(paragraph.start).id,
                    split="",
                    rule="narration",
                    confidence=1.0,
                    messages=messages(persona.prompt(recipe.contextual, book.id, number), context or NO_CONTEXT, reply),
                )
            )
    return examples, counts


def first_person_chapters(annotated: AnnotatedBook) -> list[bool]:
    """Return for each chapter whether it is in the first person; one with little narration counts as the book does."""
    per_chapter = [_first_person(annotated.narration(number)) for number in range(1, len(annotated.paragraphs) + 1)]
    book = sum(count for count, _ in per_chapter), sum(words for _, words in per_chapter)
    rates = [count / words if words >= ENOUGH_WORDS else book[0] / max(1, book[1]) for count, words in per_chapter]
    return [rate >= FIRST_PERSON_PER_WORD for rate in rates]


def _first_person(narration: str) -> tuple[int, int]:
    """Count the pronouns of the first person, and all words."""
    return len(FIRST_PERSON.findall(narration)), len(narration.split())
