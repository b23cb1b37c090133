"""A book's characters, and every quotation with its speaker."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

from persona_exp.corpus.book import Book
from persona_exp.corpus.cast.character import Character
from persona_exp.corpus.cast.character_finder import characters_in
from persona_exp.corpus.quotation.quotes import Quote, find_all_quotes
from persona_exp.corpus.reading.paragraphs_and_scenes import find_paragraphs
from persona_exp.corpus.speaker_attribution.attribute_quotes import attribute_book

# How far to trust the speaker, at the most, of a quotation that lost a mark: what is said is doubtful there.
LOST_MARK = 0.5


@dataclass(frozen=True)
class BookQuotes:
    """`quotes` are in the order of the text; each one's `chapter` counts from 1, and its paragraphs are those of that chapter."""

    characters: tuple[Character, ...]
    quotes: tuple[Quote, ...]


def find_quotes_with_speakers(book: Book, given: Sequence[Character] = ()) -> BookQuotes:
    """Return all quotations of `book` with their speakers, among its own characters and the `given` ones, which come first."""
    chapters = [find_paragraphs(book.text, chapter.start, chapter.end) for chapter in book.chapters]
    quotes = find_all_quotes(book.text, chapters)
    every = list(chain.from_iterable(quotes))
    characters = characters_in(book.text, list(chain.from_iterable(chapters)), every, given)
    doubtful = {span for quote in every if quote.rule == "unclosed" for span in quote.spans}
    attributed = chain.from_iterable(attribute_book(list(zip(quotes, chapters, strict=True)), book.text, characters))
    return BookQuotes(tuple(characters), tuple(_trusted(quote, doubtful) for quote in attributed))


def _trusted(quote: Quote, doubtful: set[tuple[int, int]]) -> Quote:
    return replace(quote, confidence=min(quote.confidence, LOST_MARK)) if doubtful.intersection(quote.spans) else quote
