"""An annotated book: its passages, quotations and their speakers, and who is where in it."""

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from persona_exp.corpus.book import Book, read_book
from persona_exp.corpus.cast.character import Character
from persona_exp.corpus.passages import Passage, find_chunks, find_passages
from persona_exp.corpus.quotation.quotes import QUOTE_MARKS, Quote, Span, find_all_quotes
from persona_exp.corpus.quotes_with_speakers import find_quotes_with_speakers
from persona_exp.corpus.reading.paragraphs_and_scenes import Paragraph, find_paragraphs
from persona_exp.corpus.speaker_attribution.speaker_annotations import apply_speaker_annotations
from persona_exp.dataset.dataset_recipe import Recipe


@dataclass(frozen=True)
class AnnotatedBook:
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
        """Return the first passage that reaches as far as the offset `place`."""
        return self.passages[min(bisect_left(self._ends, place), len(self.passages) - 1)]

    def narration(self, chapter: int) -> str:
        """Return the text of a chapter (counted from 1) outside its quotations."""
        outside, place = [], self.book.chapters[chapter - 1].start
        for start, end in sorted(span for quote in self.quotes[chapter - 1] for span in quote.spans):
            outside.append(self.book.text[place:start])
            place = max(place, end)
        return " ".join([*outside, self.book.text[place : self.book.chapters[chapter - 1].end]])

    @cached_property
    def _speech_lengths(self) -> dict[str, int]:
        lengths: dict[str, int] = {}
        for start, end in (span for quotes in self.quotes for quote in quotes for span in quote.spans):
            passage = self.passage_at(start).id
            lengths[passage] = lengths.get(passage, 0) + end - start
        return lengths

    def narrated_share(self, passage: Passage) -> float:
        """Return the fraction of a passage's characters that is no speech."""
        return 1 - min(1.0, self._speech_lengths.get(passage.id, 0) / max(1, len(passage.text)))

    @property
    def narrator(self) -> str | None:
        """Who says "I" in the narration; None where nobody does."""
        return next((one.name for one in self.characters if one.narrator), None)

    def aliases(self, name: str) -> tuple[str, ...]:
        """Return all names of the character called `name`, its own first."""
        return next(((one.name, *one.aliases) for one in self.characters if one.name == name), (name,))

    def presence(self, name: str) -> list[bool]:
        """Return for each passage whether the character is named in it or speaks in it."""
        named = re.compile("|".join(rf"\b{re.escape(alias)}\b" for alias in sorted(self.aliases(name), key=lambda one: (-len(one), one))))
        there = [bool(named.search(passage.text)) for passage in self.passages]
        places = {passage.id: index for index, passage in enumerate(self.passages)}
        for quote in (quote for of_chapter in self.quotes for quote in of_chapter if quote.speaker == name):
            there[places[self.passage_at(quote.start).id]] = True
        return there


def cut_passages(book: Book, recipe: Recipe) -> list[Passage]:
    """Return the passages of `book`, cut as `recipe` has it."""
    if recipe.passages == "fixed":
        return find_chunks(book, recipe.chunk_characters, recipe.chunk_overlap)
    return find_passages(book, recipe.passage_words)


def annotate_book(path: Path, recipe: Recipe, cast: Sequence[Character], given: Mapping[Span, str] | None = None) -> AnnotatedBook:
    """Read a book and find who speaks: by the rules, or by `given` where the speakers are named by hand.

    `cast` are characters known beforehand; the personas are among them. Raise UserError if the book cannot be read.
    """
    book = read_book(path)
    speech = find_quotes_with_speakers(book, cast)
    paragraphs = tuple(find_paragraphs(book.text, chapter.start, chapter.end) for chapter in book.chapters)
    if given is None:
        quotes = _by_chapter(speech.quotes, len(book.chapters))
    else:
        found = find_all_quotes(book.text, paragraphs)
        quotes = tuple(apply_speaker_annotations(these, book.text, where, given) for these, where in zip(found, paragraphs, strict=True))
    return AnnotatedBook(book, tuple(cut_passages(book, recipe)), speech.characters, paragraphs, quotes)


def with_speakers(annotated: AnnotatedBook, speakers: Mapping[Span, str], rule: str, confidence: float) -> AnnotatedBook:
    """Return `annotated` with the speakers in `speakers`, by a quotation's first piece, in place of its own."""

    def replaced(quote: Quote) -> Quote:
        if quote.spans[0] not in speakers:
            return quote
        return replace(quote, speaker=speakers[quote.spans[0]], rule=rule, confidence=confidence)

    return replace(annotated, quotes=tuple([replaced(quote) for quote in of_chapter] for of_chapter in annotated.quotes))


def lost_mark(text: str, quote: Quote) -> bool:
    """Return whether a quotation that opens with a mark ends without one."""
    before, after = text[quote.start - 1 : quote.start], text[quote.end : quote.end + 1]
    return before in QUOTE_MARKS and after not in QUOTE_MARKS


def _by_chapter(quotes: Sequence[Quote], chapters: int) -> tuple[list[Quote], ...]:
    found: tuple[list[Quote], ...] = tuple([] for _ in range(chapters))
    for quote in quotes:
        found[quote.chapter - 1].append(quote)
    return found
