"""What reading a book's file kept and what it cut, for a reader to check before the book is trained on."""

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from persona_exp.corpus.book import Book, make_book
from persona_exp.corpus.reading.paragraphs_and_scenes import find_paragraphs, on_one_line
from persona_exp.corpus.reading.raw_text import read_raw
from persona_exp.corpus.reading.removed_text import Cut
from persona_exp.counted_noun import counted

FIRST_WORDS = 10
SAMPLES_SHOWN = 3
SAMPLE_WIDTH = 60
# A mark that opens a quotation stands before a letter, one that closes it behind one: apostrophes inside words are neither.
SINGLE = re.compile(r"(?<![^\W_])['‘](?=\w)")
OPENS = re.compile(r"[(\[—–-]*[“\"]")


@dataclass(frozen=True)
class ChapterView:
    """A chapter's headings, its number of words and its first ones."""

    part: str
    title: str
    words: int
    first_words: str


@dataclass(frozen=True)
class Inspection:
    """What is in a book's file; `words` and `paragraphs` count those in chapters; `unpaired` is the number of paragraphs whose
    quotation marks do not pair, and that do not go on in the next paragraph."""

    path: str
    format: str
    encoding: str
    repairs: tuple[str, ...]
    title: str
    words: int
    paragraphs: int
    parts: tuple[str, ...]
    chapters: tuple[ChapterView, ...]
    cuts: tuple[Cut, ...]
    quotation_marks: str
    unpaired: int

    def as_dict(self) -> dict[str, Any]:
        """Return the inspection as JSON has it."""
        return asdict(self)


def inspect_book(path: Path) -> Inspection:
    """Read the book at `path` and return what is in it. Raise UserError as `read_book` does."""
    raw = read_raw(path)
    book = make_book(path, raw)
    chapters = []
    texts: list[str] = []
    for chapter in book.chapters:
        texts += [book.text[one.start : one.end] for one in find_paragraphs(book.text, chapter.start, chapter.end)]
        body = book.text[chapter.start : chapter.end]
        first = on_one_line(" ".join(body[:400].split()[:FIRST_WORDS]))
        chapters.append(ChapterView(chapter.part, chapter.title, len(body.split()), first))
    marks = quotation_marks(texts)
    return Inspection(
        str(path),
        raw.format,
        raw.encoding,
        raw.repairs,
        book.title,
        sum(chapter.words for chapter in chapters),
        len(texts),
        _parts(book),
        tuple(chapters),
        book.cuts,
        marks,
        unpaired(texts, marks),
    )


def _parts(book: Book) -> tuple[str, ...]:
    return tuple(dict.fromkeys(chapter.part for chapter in book.chapters if chapter.part))


def quotation_marks(paragraphs: list[str]) -> str:
    """Return the style that most quotations are in: curly or straight, double or single; "none" where there are no marks."""
    text = "\n".join(paragraphs)
    numbers = {
        "curly double": text.count("“"),
        "straight double": text.count('"') // 2,
        "curly single": text.count("‘"),
        "straight single": sum(1 for match in SINGLE.finditer(text) if match[0] == "'"),
    }
    doubles = numbers["curly double"] + numbers["straight double"]
    # Single marks inside double ones, and elisions ("'tis"), are fewer than quotations.
    if doubles >= (numbers["curly single"] + numbers["straight single"]) / 4:
        numbers = {style: number for style, number in numbers.items() if "double" in style}
    style, number = max(numbers.items(), key=lambda item: item[1])
    return style if number else "none"


def unpaired(paragraphs: list[str], style: str) -> int:
    """Return how many paragraphs have double marks that do not pair. A speech that goes on opens again in the next paragraph."""
    if "double" not in style:
        return 0
    number = 0
    for text, following in zip(paragraphs, [*paragraphs[1:], ""], strict=True):
        open_curly, straight = text.count("“") - text.count("”"), text.count('"') % 2
        goes_on = (open_curly, straight) in ((1, 0), (0, 1)) and OPENS.match(following) is not None
        number += bool((open_curly or straight) and not goes_on)
    return number


def inspection_text(inspection: Inspection) -> str:
    """Return the inspection as lines for a terminal."""
    how = ", ".join(filter(None, (inspection.format, inspection.encoding)))
    repairs = f" (repaired: {', '.join(inspection.repairs)})" if inspection.repairs else ""
    lines = [
        inspection.title,
        f"{inspection.path}: {how}{repairs}",
        f"{inspection.words:,} words in {inspection.paragraphs:,} paragraphs, {counted(len(inspection.chapters), 'chapter')}"
        + (f", {counted(len(inspection.parts), 'part')}" if inspection.parts else ""),
        f"quotation marks: {inspection.quotation_marks}; paragraphs in which they do not pair: {inspection.unpaired}",
        "",
        "kept",
    ]
    part = ""
    for number, chapter in enumerate(inspection.chapters, start=1):
        if chapter.part != part:
            part = chapter.part
            lines.append(f"  {part}")
        lines.append(f"  {number:>4}  {chapter.words:>7,} words  {chapter.title or '(no heading)'}")
        lines.append(f"        {chapter.first_words} …")
    lines += ["", "cut" if inspection.cuts else "cut: nothing"]
    for cut in inspection.cuts:
        samples = " · ".join(sample[:SAMPLE_WIDTH] for sample in cut.samples[:SAMPLES_SHOWN])
        lines.append(f"  {cut.number:>6,} × {cut.kind} ({cut.characters:,} characters): {samples}")
    return "\n".join(lines)
