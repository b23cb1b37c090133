"""A book: its cleaned text and where its chapters are."""

import re
from dataclasses import dataclass
from pathlib import Path

from persona_exp.corpus.gutenberg import strip_licence
from persona_exp.corpus.reading.chapters import Chapter, Found, find_headed
from persona_exp.corpus.reading.cuts import Cut, Cuts
from persona_exp.corpus.reading.files import book_files
from persona_exp.corpus.reading.headings import Block, blocks, heading_kind
from persona_exp.corpus.reading.markup import clean
from persona_exp.corpus.reading.paragraphs import flow
from persona_exp.corpus.reading.raw import RawText, read_raw
from persona_exp.corpus.reading.unreadable import HEADING
from persona_exp.errors import UserError

__all__ = ["Book", "book_files", "make_book", "read_book"]

MARKED = re.compile(rf"{HEADING}(?P<level>[1-9])")
# A preface among the contents is not a line of them.
CONTENTS_WORDS = 40


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
    """Read one novel: txt, docx, epub or pdf, told by its contents. UserError: missing, empty, damaged, encrypted, huge, no text in it
    but headings."""
    return make_book(path, read_raw(path))


def make_book(path: Path, raw: RawText) -> Book:
    """The book that `raw`, read from `path`, holds."""
    cuts = Cuts(raw.cuts)
    text, levels = _unmark(clean(strip_licence(raw.text, cuts), cuts))
    text, found = _without_contents(text, find_headed(text, levels), cuts)
    if not found:
        raise UserError(f"The book {path} holds no paragraph of text; give a novel.")
    title = _title(raw, text) or path.stem
    return Book(path.stem, title, text, tuple(one.chapter for one in found), raw.sha256, cuts.all())


def _unmark(text: str) -> tuple[str, dict[int, int]]:
    """Text without the marks of headings, and the level of each heading by where it begins."""
    if HEADING not in text:
        return text, {}
    levels: dict[int, int] = {}
    kept: list[str] = []
    length = done = 0
    for match in MARKED.finditer(text):
        kept.append(text[done : match.start()])
        length += match.start() - done
        levels[length] = int(match["level"])
        done = match.end()
    return "".join([*kept, text[done:]]).replace(HEADING, " "), levels


def _without_contents(text: str, found: list[Found], cuts: Cuts) -> tuple[str, list[Found]]:
    """Text without the list of contents before its first chapter."""
    if not found:
        return text, found
    front = list(blocks(text, 0, found[0].heading))
    start = next((place for place, block in enumerate(front) if _opens_contents(block.text)), None)
    if start is None:
        return text, found
    last = _last_part(front)
    stop = start + 1
    while stop < len(front) and stop != last and not _is_prose(front[stop].text):
        stop += 1
    begin, end = front[start].start, front[stop].start if stop < len(front) else found[0].heading
    cuts.add("contents list", text[begin:end].strip())
    removed = end - begin
    moved = [
        Found(one.heading - removed, Chapter(one.chapter.title, one.chapter.start - removed, one.chapter.end - removed, one.chapter.part))
        for one in found
    ]
    return text[:begin] + text[end:], moved


def _opens_contents(block: str) -> bool:
    """Whether a list of contents begins here: its title, or a first chapter's heading (the real one has its chapter behind it)."""
    return heading_kind(block.split("\n")[0].strip()) == "contents" or heading_kind(block) in ("chapter", "numbered")


def _is_prose(block: str) -> bool:
    return len(block.split()) > CONTENTS_WORDS and "\n" in block and block.endswith((".", "!", "?", "”", '"'))


def _last_part(front: list[Block]) -> int | None:
    """Where the heading of the part that the first chapter is in stands, or of the volume around it."""
    kinds = [heading_kind(block.text) for block in front]
    if "container" not in kinds:
        return None
    last = len(kinds) - 1 - kinds[::-1].index("container")
    while last > 0 and kinds[last - 1] == "container":
        last -= 1
    return last


def _title(raw: RawText, text: str) -> str | None:
    """The title a Gutenberg header or an epub states, else the line at the top, where that is not the first chapter's heading or a
    paragraph, else what another file states."""
    stated = re.search(r"^Title:[ \t]{0,99}(\S.{0,300})$", raw.text[:5000], re.MULTILINE)
    if stated:
        return flow(stated[1])
    if raw.format == "epub" and raw.title:
        return flow(raw.title)
    first = next(blocks(text)).text[:500]
    is_title = heading_kind(first) in (None, "capitals") and not first.endswith((".", "!", "?", "”", '"')) and len(first) < 500
    return flow(first.split("\n")[0]) if is_title else flow(raw.title) if raw.title else None
