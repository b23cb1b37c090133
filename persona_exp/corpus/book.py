"""A book: its cleaned text and where its chapters are."""

import re
from dataclasses import dataclass
from pathlib import Path

from persona_exp.corpus.gutenberg import strip_licence
from persona_exp.corpus.reading.chapters import Chapter, find_headed_chapters
from persona_exp.corpus.reading.extracted_document import HEADING_MARK
from persona_exp.corpus.reading.headings import blocks, heading_kind
from persona_exp.corpus.reading.markup_removal import remove_markup
from persona_exp.corpus.reading.paragraphs_and_scenes import on_one_line
from persona_exp.corpus.reading.raw_text import RawText, read_raw
from persona_exp.corpus.reading.removed_text import Cut, Cuts
from persona_exp.corpus.reading.table_of_contents import remove_table_of_contents
from persona_exp.errors import UserError

MARKED = re.compile(rf"{HEADING_MARK}(?P<level>[1-9])")


@dataclass(frozen=True)
class Book:
    """`id` is the file's name without its ending, `sha256` that of the file's bytes. Every place in a book is a character offset
    into `text`, which is the file's text without licence, contents, markup and page numbers; `cuts` says what was taken out."""

    id: str
    title: str
    text: str
    chapters: tuple[Chapter, ...]
    sha256: str
    cuts: tuple[Cut, ...] = ()


def read_book(path: Path) -> Book:
    """Return the novel at `path` (txt, docx, epub or pdf). Raise UserError if it cannot be read, or holds no text but headings."""
    return make_book(path, read_raw(path))


def make_book(path: Path, raw: RawText) -> Book:
    """Return the book that `raw`, read from `path`, holds. Raise UserError if it holds no paragraph."""
    cuts = Cuts(raw.cuts)
    text, levels = _take_out_heading_marks(remove_markup(strip_licence(raw.text, cuts), cuts))
    text, found = remove_table_of_contents(text, find_headed_chapters(text, levels), cuts)
    if not found:
        raise UserError(f"The book {path} holds no paragraph of text; give a novel.")
    title = _title(raw, text) or path.stem
    return Book(path.stem, title, text, tuple(one.chapter for one in found), raw.sha256, cuts.all())


def _take_out_heading_marks(text: str) -> tuple[str, dict[int, int]]:
    """Return text without the marks of headings, and the level of each heading by where it begins."""
    if HEADING_MARK not in text:
        return text, {}
    levels: dict[int, int] = {}
    kept: list[str] = []
    length = done = 0
    for match in MARKED.finditer(text):
        kept.append(text[done : match.start()])
        length += match.start() - done
        levels[length] = int(match["level"])
        done = match.end()
    return "".join([*kept, text[done:]]).replace(HEADING_MARK, " "), levels


def _title(raw: RawText, text: str) -> str | None:
    """Return the title a Gutenberg header or an epub states, else the line at the top, where that is not the first chapter's heading or a
    paragraph, else what another file states."""
    stated = re.search(r"^Title:[ \t]{0,99}(\S.{0,300})$", raw.text[:5000], re.MULTILINE)
    if stated:
        return on_one_line(stated[1])
    if raw.format == "epub" and raw.title:
        return on_one_line(raw.title)
    first = next(blocks(text)).text[:500]
    is_title = heading_kind(first) in (None, "capitals") and not first.endswith((".", "!", "?", "”", '"')) and len(first) < 500
    return on_one_line(first.split("\n")[0]) if is_title else on_one_line(raw.title) if raw.title else None
