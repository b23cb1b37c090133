"""A book's speech: its characters and every quotation with its speaker."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

from persona_exp.corpus.book import Book
from persona_exp.corpus.cast.characters import cast_of
from persona_exp.corpus.quotation.quotes import Quote, find_all_quotes
from persona_exp.corpus.reading.paragraphs import find_paragraphs
from persona_exp.corpus.speakers import Character, attribute_book

# How far to trust the speaker, at the most, of a quotation that lost a mark: what is said is doubtful there, whoever speaks.
LOST_MARK = 0.5


@dataclass(frozen=True)
class Speech:
    """`quotes` are in the order of the text; each one's `chapter` counts from 1, and its paragraphs are those of that chapter."""

    characters: tuple[Character, ...]
    quotes: tuple[Quote, ...]


def find_speech(book: Book, given: Sequence[Character] = ()) -> Speech:
    """All quotations of `book` with their speakers, among its own characters and the `given` ones, which come first."""
    chapters = [find_paragraphs(book.text, chapter.start, chapter.end) for chapter in book.chapters]
    quotes = find_all_quotes(book.text, chapters)
    every = list(chain.from_iterable(quotes))
    characters = cast_of(book.text, list(chain.from_iterable(chapters)), every, given)
    doubtful = {span for quote in every if quote.rule == "unclosed" for span in quote.spans}
    attributed = chain.from_iterable(attribute_book(list(zip(quotes, chapters, strict=True)), book.text, characters))
    return Speech(tuple(characters), tuple(_trusted(quote, doubtful) for quote in attributed))


def _trusted(quote: Quote, doubtful: set[tuple[int, int]]) -> Quote:
    return replace(quote, confidence=min(quote.confidence, LOST_MARK)) if doubtful.intersection(quote.spans) else quote
