"""A source: one book with its passages, its speech and who is where in it."""

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from persona_exp.corpus.book import Book, read_book
from persona_exp.corpus.passages import Passage, find_chunks, find_passages
from persona_exp.corpus.quotation.given import apply_given
from persona_exp.corpus.quotation.quotes import MARKS, Quote, Span, find_all_quotes
from persona_exp.corpus.reading.paragraphs import Paragraph, find_paragraphs
from persona_exp.corpus.speakers import Character
from persona_exp.corpus.speech import find_speech
from persona_exp.dataset.recipe import Recipe


@dataclass(frozen=True)
class Source:
    """`quotes` and `paragraphs` are by chapter, counted from 0."""

    book: Book
    passages: tuple[Passage, ...]
    characters: tuple[Character, ...]
    paragraphs: tuple[list[Paragraph], ...]
    quotes: tuple[list[Quote], ...]

    @cached_property
    def _ends(self) -> list[int]:
        return [passage.end for passage in self.passages]

    def passage_at(self, place: int) -> Passage:
        """The first passage that reaches as far as the offset `place`."""
        return self.passages[min(bisect_left(self._ends, place), len(self.passages) - 1)]

    def narration(self, chapter: int) -> str:
        """The text of a chapter (counted from 1) outside its quotations."""
        told, place = [], self.book.chapters[chapter - 1].start
        for start, end in sorted(span for quote in self.quotes[chapter - 1] for span in quote.spans):
            told.append(self.book.text[place:start])
            place = max(place, end)
        return " ".join([*told, self.book.text[place : self.book.chapters[chapter - 1].end]])

    @cached_property
    def _said(self) -> dict[str, int]:
        said: dict[str, int] = {}
        for start, end in (span for quotes in self.quotes for quote in quotes for span in quote.spans):
            passage = self.passage_at(start).id
            said[passage] = said.get(passage, 0) + end - start
        return said

    def narrated_share(self, passage: Passage) -> float:
        """The fraction of a passage's characters that is no speech."""
        return 1 - min(1.0, self._said.get(passage.id, 0) / max(1, len(passage.text)))

    @property
    def narrator(self) -> str | None:
        """Who says "I" in the narration; None where nobody does."""
        return next((one.name for one in self.characters if one.narrator), None)

    def aliases(self, name: str) -> tuple[str, ...]:
        """All names of the character called `name`, its own first."""
        return next(((one.name, *one.aliases) for one in self.characters if one.name == name), (name,))

    def presence(self, name: str) -> list[bool]:
        """For each passage whether the character is named in it or speaks in it."""
        named = re.compile("|".join(rf"\b{re.escape(alias)}\b" for alias in sorted(self.aliases(name), key=lambda one: (-len(one), one))))
        there = [bool(named.search(passage.text)) for passage in self.passages]
        places = {passage.id: index for index, passage in enumerate(self.passages)}
        for quote in (quote for of_chapter in self.quotes for quote in of_chapter if quote.speaker == name):
            there[places[self.passage_at(quote.start).id]] = True
        return there


def cut(book: Book, recipe: Recipe) -> list[Passage]:
    """The passages of `book` as `recipe` wants them."""
    if recipe.passages == "fixed":
        return find_chunks(book, recipe.chunk_characters, recipe.chunk_overlap)
    return find_passages(book, recipe.passage_words)


def read_source(path: Path, recipe: Recipe, cast: Sequence[Character], given: Mapping[Span, str] | None = None) -> Source:
    """Read a book and find who speaks: by the rules, or by `given` where somebody has named the speakers by hand.

    `cast` are characters known beforehand; the personas are among them. UserError: the book cannot be read.
    """
    book = read_book(path)
    speech = find_speech(book, cast)
    paragraphs = tuple(find_paragraphs(book.text, chapter.start, chapter.end) for chapter in book.chapters)
    if given is None:
        quotes = _by_chapter(speech.quotes, len(book.chapters))
    else:
        found = find_all_quotes(book.text, paragraphs)
        quotes = tuple(apply_given(these, book.text, where, given) for these, where in zip(found, paragraphs, strict=True))
    return Source(book, tuple(cut(book, recipe)), speech.characters, paragraphs, quotes)


def with_speakers(source: Source, told: Mapping[Span, str], rule: str, confidence: float) -> Source:
    """`source` with the speakers in `told`, by a quotation's first piece, in place of its own."""

    def retold(quote: Quote) -> Quote:
        if quote.spans[0] not in told:
            return quote
        return replace(quote, speaker=told[quote.spans[0]], rule=rule, confidence=confidence)

    return replace(source, quotes=tuple([retold(quote) for quote in of_chapter] for of_chapter in source.quotes))


def lost_mark(text: str, quote: Quote) -> bool:
    """Whether a quotation that opens with a mark ends without one."""
    before, after = text[quote.start - 1 : quote.start], text[quote.end : quote.end + 1]
    return before in MARKS and after not in MARKS


def _by_chapter(quotes: Sequence[Quote], chapters: int) -> tuple[list[Quote], ...]:
    found: tuple[list[Quote], ...] = tuple([] for _ in range(chapters))
    for quote in quotes:
        found[quote.chapter - 1].append(quote)
    return found
