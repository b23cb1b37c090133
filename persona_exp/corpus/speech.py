"""A book's speech: its characters and every quotation with its speaker."""

from collections.abc import Sequence
from dataclasses import dataclass

from persona_exp.corpus.book import Book
from persona_exp.corpus.paragraphs import find_paragraphs
from persona_exp.corpus.quotes import Quote, find_quotes
from persona_exp.corpus.speakers import Character, attribute


@dataclass(frozen=True)
class Speech:
    """`quotes` are in the order of the text; each one's `chapter` counts from 1, and its paragraphs are those of that chapter."""

    characters: tuple[Character, ...]
    quotes: tuple[Quote, ...]


def find_speech(book: Book, given: Sequence[Character] = ()) -> Speech:
    """All quotations of `book` with their speakers, among its own characters and the `given` ones."""
    quotes: list[Quote] = []
    for number, chapter in enumerate(book.chapters, start=1):
        paragraphs = find_paragraphs(book.text, chapter.start, chapter.end)
        quotes += attribute(find_quotes(book.text, paragraphs, number), book.text, paragraphs, given)
    return Speech(tuple(given), tuple(quotes))
