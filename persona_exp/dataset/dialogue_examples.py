"""Dialogue examples: what the persona says, in answer to the line or the narration before it."""

import re
from collections import Counter
from collections.abc import Collection, Sequence

from persona_exp.corpus.quotation.quotes import Quote
from persona_exp.corpus.reading.paragraphs_and_scenes import Paragraph
from persona_exp.dataset.annotated_book import AnnotatedBook
from persona_exp.dataset.dataset_recipe import Persona, Recipe
from persona_exp.dataset.prose_normalisation import last_sentences, normalise_prose
from persona_exp.dataset.training_example import Example, messages

# A line further back than this many paragraphs is not what the reply answers.
REACH = 3
# The user's turn where data.max_context_words=0 leaves no room for one: many chat templates refuse a conversation without it.
NO_CONTEXT = "Go on."
# What may stand between a lead-in and the first word said.
OPENING = " \n\t“\"‘'«—-"


def dialogue_examples(annotated: AnnotatedBook, persona: Persona, recipe: Recipe) -> tuple[list[Example], Counter[str]]:
    """Return the persona's utterances in a book as examples, in order, with the count of what was left out or cut, by reason.

    The user's turn is the preceding line of another speaker, or else the narration before the reply. How sure the speaker is goes with
    each example.
    """
    examples: list[Example] = []
    counts: Counter[str] = Counter()
    book = annotated.book
    for number, (quotes, paragraphs) in enumerate(zip(annotated.quotes, annotated.paragraphs, strict=True), start=1):
        spoken = {place for quote in quotes for place in range(quote.first, quote.last + 1)}
        for index, quote in enumerate(quotes):
            if quote.speaker != persona.name:
                counts["quotes not attributed" if quote.speaker is None else "quotes of others"] += 1
                continue
            reply = normalise_prose(quote.text)
            length = len(reply.split())
            if not recipe.min_reply_words <= length <= recipe.max_reply_words:
                counts["reply too short" if length < recipe.min_reply_words else "reply too long"] += 1
                continue
            context = normalise_prose(_before(index, quotes, spoken, book.text, paragraphs, persona.name))
            before, shortened = last_sentences(context, recipe.max_context_words)
            if not before and recipe.max_context_words:
                counts["nothing before the reply"] += 1
                continue
            counts["context cut"] += shortened
            examples.append(
                Example(
                    id=f"{book.id}.{quote.start}.dialogue",
                    kind="dialogue",
                    persona=persona.name,
                    book=book.id,
                    chapter=number,
                    passage=annotated.passage_at(quote.start).id,
                    split="",
                    rule=quote.rule,
                    confidence=quote.confidence,
                    messages=messages(persona.prompt(recipe.contextual, book.id, number), before or NO_CONTEXT, reply),
                )
            )
    return examples, counts


def _before(index: int, quotes: Sequence[Quote], spoken: Collection[int], text: str, paragraphs: Sequence[Paragraph], persona: str) -> str:
    """Return what the reply `quotes[index]` answers."""
    reply = quotes[index]
    scene = paragraphs[reply.first].scene
    for earlier in reversed(quotes[:index]):
        distance = reply.first - earlier.last
        if distance > REACH or paragraphs[earlier.last].scene != scene or earlier.rule == "malformed":
            break
        # An unnamed voice in the paragraph before is another's; with narration between, it may be the persona's own.
        if earlier.speaker != persona and (earlier.speaker is not None or distance <= 1):
            return earlier.text
        if earlier.speaker is None:
            break
    return _narration(reply, spoken, text, paragraphs)


def _narration(reply: Quote, spoken: Collection[int], text: str, paragraphs: Sequence[Paragraph]) -> str:
    """Return the narration that leads up to `reply`: in its own paragraph, then in those before it as far as nobody speaks there.

    `spoken` holds the indices of the paragraphs in which a person speaks.
    """
    found = []
    lead = text[paragraphs[reply.first].start : reply.start].rstrip(OPENING)
    if lead and not re.search('[“”"«»]', lead):
        found.append(lead)
    for index in range(reply.first - 1, -1, -1):
        if index in spoken and found:
            break
        found.insert(0, text[paragraphs[index].start : paragraphs[index].end])
        if len(found) > REACH or index in spoken:
            break
    return "\n\n".join(found)
