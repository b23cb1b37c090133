"""Dialogue examples: what the persona says, in answer to the line or the narration before it."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from persona_exp.corpus.book import Book
from persona_exp.corpus.given import apply_given
from persona_exp.corpus.paragraphs import Paragraph, find_paragraphs
from persona_exp.corpus.passages import Passage
from persona_exp.corpus.quotes import Quote, Span, find_quotes
from persona_exp.corpus.speakers import Character, attribute
from persona_exp.dataset.example import Example, messages
from persona_exp.dataset.prose import last_sentences, plain

# Below this an attribution is a guess, and a guess teaches the wrong voice.
MIN_CONFIDENCE = 0.9
# A line further back than this many paragraphs is not what the reply answers.
REACH = 3
# The user's turn where data.max_context_words=0 leaves no room for one: many chat templates refuse a conversation without it.
NO_CONTEXT = "Go on."


def dialogue(
    book: Book,
    passages: Sequence[Passage],
    split_of: Mapping[str, str],
    cast: Sequence[Character],
    given: Mapping[Span, str] | None,
    persona: str,
    system_prompt: str,
    min_reply_words: int,
    max_reply_words: int,
    max_context_words: int,
) -> tuple[list[Example], Counter[str]]:
    """The persona's surely attributed utterances in `book` as examples, in order, with the count of what was left out or cut, by reason.

    The user's turn is the preceding line of another speaker, or else the narration before the reply. `split_of` maps a passage's id to
    its split; `cast` holds the persona, whose replies have between `min_reply_words` and `max_reply_words` words. Speakers are told by
    cues in the text, or by `given` where somebody has named them by hand.
    """
    examples: list[Example] = []
    counts: Counter[str] = Counter()
    for number, chapter in enumerate(book.chapters, start=1):
        paragraphs = find_paragraphs(book.text, chapter.start, chapter.end)
        found = find_quotes(book.text, paragraphs, number)
        by_hand = None if given is None else apply_given(found, book.text, paragraphs, given)
        quotes = attribute(found, book.text, paragraphs, cast) if by_hand is None else by_hand
        here = [passage for passage in passages if passage.chapter == number]
        for index, quote in enumerate(quotes):
            if quote.speaker != persona:
                counts["quotes not attributed" if quote.speaker is None else "quotes of others"] += 1
                continue
            if quote.confidence < MIN_CONFIDENCE:
                counts["attribution too unsure"] += 1
                continue
            reply = plain(quote.text)
            length = len(reply.split())
            if not min_reply_words <= length <= max_reply_words:
                counts["reply too short" if length < min_reply_words else "reply too long"] += 1
                continue
            before, cut = last_sentences(plain(_before(index, quotes, book.text, paragraphs, persona)), max_context_words)
            if not before and max_context_words:
                counts["nothing before the reply"] += 1
                continue
            counts["context cut"] += cut
            passage = next(passage for passage in here if quote.start <= passage.end)
            examples.append(
                Example(
                    id=f"{book.id}.{quote.start}.dialogue",
                    kind="dialogue",
                    persona=persona,
                    book=book.id,
                    chapter=number,
                    passage=passage.id,
                    split=split_of[passage.id],
                    rule=quote.rule,
                    confidence=quote.confidence,
                    messages=messages(system_prompt, before or NO_CONTEXT, reply),
                )
            )
    return examples, counts


def _before(index: int, quotes: Sequence[Quote], text: str, paragraphs: Sequence[Paragraph], persona: str) -> str:
    """What the reply `quotes[index]` answers."""
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
    return _narration(reply, text, paragraphs)


def _narration(reply: Quote, text: str, paragraphs: Sequence[Paragraph]) -> str:
    """The narration that leads up to `reply`: in its own paragraph, then in those before it as far as nobody speaks there."""
    found = []
    lead = re.sub(r"[\s“\"]+$", "", text[paragraphs[reply.first].start : reply.start])
    if lead and not re.search('[“”"]', lead):
        found.append(lead)
    for paragraph in reversed(paragraphs[: reply.first]):
        words = text[paragraph.start : paragraph.end]
        if re.search('[“”"]', words) and found:
            break
        found.insert(0, words)
        if len(found) > REACH or re.search('[“”"]', words):
            break
    return "\n\n".join(found)
