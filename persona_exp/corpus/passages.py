"""Passages: consecutive paragraphs of one chapter, the unit that is split between training and test."""

from dataclasses import dataclass

from persona_exp.corpus.book import Book
from persona_exp.corpus.paragraphs import find_paragraphs

PASSAGE_WORDS = 200


@dataclass(frozen=True)
class Passage:
    """`text` is the book's `text[start:end]`; `chapter` and `index` (in its chapter) are counted from 1."""

    book: str
    chapter: int
    index: int
    start: int
    end: int
    text: str

    @property
    def id(self) -> str:
        """`book/chapter/index`: unique in a corpus."""
        return f"{self.book}/{self.chapter}/{self.index}"


def find_passages(book: Book, words: int = PASSAGE_WORDS) -> list[Passage]:
    """Cut every chapter into whole paragraphs of about `words` words; a short rest joins the passage before it."""
    passages: list[Passage] = []
    for number, chapter in enumerate(book.chapters, start=1):
        spans: list[tuple[int, int]] = []
        begin, length = None, 0
        for paragraph in find_paragraphs(book.text, chapter.start, chapter.end):
            begin = paragraph.start if begin is None else begin
            length += len(book.text[paragraph.start : paragraph.end].split())
            end = paragraph.end
            if length >= words:
                spans.append((begin, end))
                begin, length = None, 0
        if begin is not None:
            if spans and length < words / 2:
                begin = spans.pop()[0]
            spans.append((begin, end))
        passages += [Passage(book.id, number, index, start, end, book.text[start:end]) for index, (start, end) in enumerate(spans, start=1)]
    return passages
