"""Passages: consecutive paragraphs of one chapter, the unit that is split between training and test."""

from dataclasses import dataclass

from persona_exp.corpus.book import Book
from persona_exp.corpus.reading.paragraphs_and_scenes import find_paragraphs
from persona_exp.errors import UserError

PASSAGE_WORDS = 200
CHUNK_CHARACTERS = 500
CHUNK_OVERLAP = 50


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


def find_chunks(book: Book, characters: int = CHUNK_CHARACTERS, overlap: int = CHUNK_OVERLAP) -> list[Passage]:
    """Cut every chapter into pieces of `characters` characters, wherever that falls, each beginning with the last `overlap` of the one
    before it: the baseline that published systems use. A chapter's last chunk may be shorter. Raise UserError if `overlap` is not
    below `characters`."""
    if not 0 <= overlap < characters:
        raise UserError(f"Chunks of {characters} characters cannot overlap by {overlap}; let the overlap be smaller, and not negative.")
    chunks: list[Passage] = []
    for number, chapter in enumerate(book.chapters, start=1):
        # The last step is the first whose chunk reaches the chapter's end.
        last = max(chapter.start, chapter.end - characters)
        starts = list(range(chapter.start, last, characters - overlap))
        starts.append(starts[-1] + characters - overlap if starts else chapter.start)
        spans = [(start, min(start + characters, chapter.end)) for start in starts]
        chunks += [Passage(book.id, number, index, start, end, book.text[start:end]) for index, (start, end) in enumerate(spans, start=1)]
    return chunks
