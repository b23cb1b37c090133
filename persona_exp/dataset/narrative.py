"""Narrative examples: what a narrator persona tells, as the reply to the paragraph before it."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from persona_exp.corpus.book import Book
from persona_exp.corpus.paragraphs import Paragraph, find_paragraphs
from persona_exp.corpus.passages import Passage
from persona_exp.corpus.quotes import find_quotes
from persona_exp.dataset.dialogue import NO_CONTEXT
from persona_exp.dataset.example import Example, messages
from persona_exp.dataset.prose import last_sentences, plain

# "I", "me", "my" and "myself" in a thousand words outside quotation marks. A chapter told in the first person has twenty and more, one
# told in the third, as in the middle of some first-person novels, next to none.
FIRST_PERSON_PER_THOUSAND = 5.0
# A chapter with less narration than this is told as the book is.
ENOUGH_WORDS = 500
QUOTED = re.compile('“[^”]*(?:”|$)|"[^"]*(?:"|$)')
FIRST_PERSON = re.compile(r"\b(?:I|me|my|myself)\b")


def narrative(
    book: Book,
    passages: Sequence[Passage],
    split_of: Mapping[str, str],
    persona: str,
    system_prompt: str,
    min_reply_words: int,
    max_reply_words: int,
    max_context_words: int,
) -> tuple[list[Example], Counter[str]]:
    """Paragraphs of narration without quotations, in chapters told in the first person, with the count of what was left out, by reason.

    For a persona that narrates the book; the limits are those of `dialogue`.
    """
    examples: list[Example] = []
    counts: Counter[str] = Counter()
    per_chapter = [find_paragraphs(book.text, chapter.start, chapter.end) for chapter in book.chapters]
    whole = first_person_rate(book.text, [paragraph for paragraphs in per_chapter for paragraph in paragraphs])[0]
    for number, paragraphs in enumerate(per_chapter, start=1):
        rate, words = first_person_rate(book.text, paragraphs)
        if (rate if words >= ENOUGH_WORDS else whole) < FIRST_PERSON_PER_THOUSAND:
            counts["chapters not told by the narrator"] += 1
            continue
        quotes = find_quotes(book.text, paragraphs, number)
        spoken = {index for quote in quotes for index in range(quote.first, quote.last + 1)}
        # Behind marks that do not pair, what looks like narration may be somebody's story.
        doubtful = {quote.last + 1 for quote in quotes if quote.rule == "malformed"}
        here = [passage for passage in passages if passage.chapter == number]
        for index, paragraph in enumerate(paragraphs):
            told = book.text[paragraph.start : paragraph.end]
            if index in spoken or index in doubtful or re.search('[“”"]', told) or not index:
                continue
            reply = plain(told)
            if reply.endswith((":", "—", ",")):
                counts["narration that leads up to speech"] += 1
                continue
            length = len(reply.split())
            if not min_reply_words <= length <= max_reply_words:
                counts["narration too short" if length < min_reply_words else "narration too long"] += 1
                continue
            before = book.text[paragraphs[index - 1].start : paragraphs[index - 1].end]
            context, cut = last_sentences(plain(before), max_context_words)
            counts["context cut"] += cut
            passage = next(passage for passage in here if paragraph.start <= passage.end)
            examples.append(
                Example(
                    id=f"{book.id}.{paragraph.start}.narrative",
                    kind="narrative",
                    persona=persona,
                    book=book.id,
                    chapter=number,
                    passage=passage.id,
                    split=split_of[passage.id],
                    rule="narration",
                    confidence=1.0,
                    messages=messages(system_prompt, context or NO_CONTEXT, reply),
                )
            )
    return examples, counts


def first_person_rate(text: str, paragraphs: Sequence[Paragraph]) -> tuple[float, int]:
    """How many of a thousand words of narration are the first person's pronouns, and how many words of narration there are."""
    narration = " ".join(QUOTED.sub(" ", text[paragraph.start : paragraph.end]) for paragraph in paragraphs)
    words = len(narration.split())
    return 1000 * len(FIRST_PERSON.findall(narration)) / max(1, words), words
