"""A PDF's text, its lines put together to paragraphs by where they stand on the page."""

import itertools
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from persona_exp.corpus.reading.book_size_limits import MAX_CHARACTERS, MAX_PAGES
from persona_exp.corpus.reading.extracted_document import (
    DAMAGED,
    HEADING_MARK,
    TOO_MUCH_TEXT,
    ExtractedDocument,
    UnreadableDocument,
)
from persona_exp.corpus.reading.page_headers_and_numbers import continues_on_next_page, page_furniture
from persona_exp.corpus.reading.removed_text import Cuts

# Of a line's type size: what is larger than the body's is a heading; a first line is indented by so much.
HEADING_SIZE = 1.15
INDENT = 0.6
# Of the usual distance between lines: what is more parts paragraphs. Of a line's width: what ends before it is a last line.
GAP = 1.35
SHORT = 0.8
HYPHENS = (0x02, 0xFFFE)
LINE_ENDS = (0x0A, 0x0D, *HYPHENS)


@dataclass(frozen=True)
class PdfLine:
    """A line of text; its left and right end, baseline and type size, in points."""

    text: str
    left: float
    right: float
    baseline: float
    size: float


def read_pdf(path: Path) -> ExtractedDocument:
    """Return the text of a PDF, its headings marked. Raise UnreadableDocument if it is encrypted, damaged, too large, or pictures only."""
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower() or "security" in str(error).lower():
            raise UnreadableDocument("is encrypted; save it without a password") from None
        raise UnreadableDocument(DAMAGED) from None
    if len(document) > MAX_PAGES:
        raise UnreadableDocument(f"has {len(document)} pages, more than any novel; give one file a book")
    pages: list[list[PdfLine]] = []
    characters, cuts = 0, Cuts()
    for index in range(len(document)):
        try:
            page = document[index]
        except pypdfium2.PdfiumError:
            # It must not take the others with it.
            cuts.add("damaged page", f"page {index + 1}", 0)
            continue
        pages.append(_lines(page))
        page.close()
        characters += sum(len(line.text) for line in pages[-1])
        if characters > MAX_CHARACTERS:
            raise UnreadableDocument(TOO_MUCH_TEXT)
    if not characters:
        raise UnreadableDocument(
            "holds no text, only pictures of pages; run text recognition (OCR) on it first" if pages else "holds no page"
        )
    title = str(document.get_metadata_dict().get("Title") or "").strip() or None
    return ExtractedDocument(_paragraphs(_without_furniture(pages, cuts)), title, cuts.all())


def _lines(page: "object") -> list[PdfLine]:
    """Return the lines of one page, from top to bottom as the file has them."""
    import ctypes

    import pypdfium2.raw as raw

    text_page = page.get_textpage()  # type: ignore[attr-defined]
    count = text_page.count_chars()
    codes = [raw.FPDFText_GetUnicode(text_page, index) for index in range(count)]
    x, y, left, right, bottom, top = (ctypes.c_double() for _ in range(6))
    lines: list[PdfLine] = []
    start = 0
    # The library runs on over a hyphen at a line end, which it marks.
    for end in [*(index for index, code in enumerate(codes) if code in LINE_ENDS), count]:
        begin, last = start, end if end < count and codes[end] in HYPHENS else end - 1
        start = end + 1
        while begin <= last and codes[begin] <= 32 and codes[begin] not in HYPHENS:
            begin += 1
        while last >= begin and codes[last] <= 32 and codes[last] not in HYPHENS:
            last -= 1
        if begin > last:
            continue
        text = "".join("-" if code in HYPHENS else chr(code) if code < 0x110000 else "" for code in codes[begin : last + 1])
        text = text.replace(HEADING_MARK, "")
        raw.FPDFText_GetCharOrigin(text_page, begin, x, y)
        raw.FPDFText_GetCharBox(text_page, last, left, right, bottom, top)
        size = raw.FPDFText_GetFontSize(text_page, (begin + last) // 2)
        height = size * _scale(text_page, (begin + last) // 2)
        lines.append(PdfLine(" ".join(text.split()), x.value, right.value, y.value, round(height, 1)))
    text_page.close()
    return lines


def _scale(text_page: "object", index: int) -> float:
    """Return how much the page enlarges a character's nominal type size: some files set all type in size 1."""
    import pypdfium2.raw as raw

    matrix = raw.FS_MATRIX()
    if not raw.FPDFText_GetMatrix(text_page, index, matrix):
        return 1.0
    return max(abs(matrix.d), abs(matrix.b)) or 1.0


def _without_furniture(pages: list[list[PdfLine]], cuts: Cuts) -> list[list[PdfLine]]:
    kept: list[list[PdfLine]] = []
    for page, found in zip(pages, page_furniture([[line.text for line in page] for page in pages]), strict=True):
        for index, kind in found.items():
            cuts.add(kind, page[index].text)
        kept.append([line for index, line in enumerate(page) if index not in found])
    return kept


def _paragraphs(pages: list[list[PdfLine]]) -> str:
    """Return the pages' lines, with a blank line where a paragraph begins and a mark where a heading does."""
    sizes: Counter[float] = Counter()
    for page in pages:
        for line in page:
            sizes[line.size] += len(line.text)
    body = max(sizes, key=lambda size: (sizes[size], size), default=1.0)
    larger = sorted({line.size for page in pages for line in page if line.size >= HEADING_SIZE * body}, reverse=True)
    level = {size: min(9, rank) for rank, size in enumerate(larger, start=1)}
    gaps = [above.baseline - below.baseline for page in pages for above, below in itertools.pairwise(page)]
    usual_gap = median([gap for gap in gaps if gap > 0] or [1.2 * body])
    text: list[str] = []
    previous: PdfLine | None = None
    indents = _indents(pages, body)
    for page in pages:
        margin, edge = _margins(page, body)
        for index, line in enumerate(page):
            heading = line.size in level and len(line.text) > 1
            if heading:
                goes = previous is not None and index > 0 and previous.size == line.size and text[-1] != ""
                text += [] if goes else [""]
                text.append(line.text if goes else f"{HEADING_MARK}{level[line.size]}{line.text}")
            elif previous is not None and len(previous.text) == 1 and previous.text.isalpha() and previous.size > line.size:
                # A large initial.
                text[-1] += line.text
            else:
                if previous is None or previous.size in level or _begins(previous, line, index, margin, edge, usual_gap, body, indents):
                    text.append("")
                text.append(line.text)
            previous = line
    return "\n".join(text) + "\n"


def _begins(previous: PdfLine, line: PdfLine, index: int, margin: float, edge: float, gap: float, body: float, indents: bool) -> bool:
    """Return whether a paragraph begins with `line`, the `index`-th of its page."""
    if line.left > margin + INDENT * body:
        return previous.left <= margin + INDENT * body or line.left <= margin + 6 * body
    if index == 0:
        return not continues_on_next_page(previous.text, line.text) and not indents
    if previous.baseline - line.baseline > GAP * gap:
        return True
    ends = previous.text.endswith((".", "!", "?", "”", "’", '"', "'", ":"))
    return not indents and ends and previous.right - margin < SHORT * (edge - margin)


def _margins(page: list[PdfLine], body: float) -> tuple[float, float]:
    """Return where most lines of body type begin, and where the longest end."""
    lines = [line for line in page if abs(line.size - body) < 0.1 * body] or page
    starts = Counter(round(line.left) for line in lines)
    margin = min((start for start, number in starts.items() if number >= 0.2 * len(lines)), default=min(starts, default=0))
    return float(margin), max((line.right for line in lines), default=0.0)


def _indents(pages: list[list[PdfLine]], body: float) -> bool:
    """Return whether this book indents its paragraphs."""
    total = indented = 0
    for page in pages:
        margin, _ = _margins(page, body)
        total += len(page)
        indented += sum(margin + INDENT * body < line.left < margin + 6 * body for line in page)
    return indented > 0.05 * total
