"""A book: its cleaned text and where its chapters are."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from persona_exp.corpus.chapters import Chapter, blocks, find_chapters, heading_kind
from persona_exp.corpus.gutenberg import strip_licence
from persona_exp.corpus.markup import clean
from persona_exp.corpus.paragraphs import flow
from persona_exp.corpus.text import read_text
from persona_exp.errors import UserError


@dataclass(frozen=True)
class Book:
    """`id` is the file's name without its ending, `sha256` that of the file's bytes. Every place in a book is a character offset
    into `text`, which is the file's text without licence, markup and page numbers."""

    id: str
    title: str
    text: str
    chapters: tuple[Chapter, ...]
    sha256: str


def read_book(path: Path) -> Book:
    """Read one plain-text novel. UserError: missing, empty, not text, or nothing in it but headings."""
    decoded, data = read_text(path)
    text = clean(strip_licence(decoded))
    chapters = find_chapters(text)
    if not chapters:
        raise UserError(f"The book {path} holds no paragraph of text; give a plain-text novel.")
    title = _title(decoded, text) or path.stem
    return Book(path.stem, title, text, chapters, hashlib.sha256(data).hexdigest())


def _title(decoded: str, text: str) -> str | None:
    """The title a Gutenberg header states, else the line at the top, where that is not the first chapter's heading or a paragraph."""
    stated = re.search(r"^Title:[ \t]*(.+)$", decoded[:5000], re.MULTILINE)
    if stated:
        return flow(stated[1])
    first = next(blocks(text)).text
    is_title = heading_kind(first) in (None, "capitals") and not first.endswith((".", "!", "?", "”", '"'))
    return flow(first.split("\n")[0]) if is_title else None
