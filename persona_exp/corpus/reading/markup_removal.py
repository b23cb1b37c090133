"""What editions add to a book's words: emphasis, illustrations, notes, page numbers, one line a paragraph."""

import itertools
import re
from statistics import median

from persona_exp.corpus.reading.footnotes import strip_footnotes
from persona_exp.corpus.reading.line_end_hyphens import join_hyphens
from persona_exp.corpus.reading.page_headers_and_numbers import join_pages, put_headings_back
from persona_exp.corpus.reading.paragraph_breaks import separate_headings, separate_paragraphs
from persona_exp.corpus.reading.removed_text import Cuts
from persona_exp.corpus.reading.text_decoding import PAGE

# Every repetition is bounded or ends at the character that opens it: none of these looks twice at one place of a long line.
NESTED = r"[^\[\]]{0,2000}(?:\[[^\[\]]{0,500}\][^\[\]]{0,2000}){0,9}"
ILLUSTRATION = re.compile(rf"\[\s{{0,9}}(?:Illustration|Frontispiece|Sidenote)\b{NESTED}\]", re.IGNORECASE)
TRANSCRIBER = re.compile(rf"\[\s{{0,9}}Transcriber['’]?s?['’]?\s{{1,9}}Notes?\b{NESTED}\]", re.IGNORECASE)
TRANSCRIBER_BLOCK = re.compile(
    r"^[ \t]{0,40}Transcriber['’]?s?['’]?[ \t]{1,9}Notes?\b[^\n]*(?:\n[^\S\n]*\S[^\n]*){0,200}", re.IGNORECASE | re.MULTILINE
)
PAGE_MARK = re.compile(r"\[\s{0,9}(?:Pg|Page)\b[^\[\]]{0,20}\]", re.IGNORECASE)
PAGE_NUMBER = re.compile(r"^[ \t]{0,200}(?:\{\d+\}|\[\d+\]|(?P<plain>\d{1,4}))[ \t]{0,200}$", re.MULTILINE)
EMPHASIS = (
    re.compile(r"(?<![A-Za-z0-9_])_(?=[^\s_])([^_]{1,2000}?)(?<=\S)_(?![A-Za-z0-9_])"),
    re.compile(r"(?<![\w*])\*(?=[^\s*])([^*\n]{1,400}?)(?<=\S)\*(?![\w*])"),
    re.compile(r"(?<![\w=])=(?=[^\s=])([^=\n]{1,400}?)(?<=\S)=(?![\w=])"),
)
PAGES = 5
PAGE_CHARACTERS = (300, 6000)
CHAPTER_CHARACTERS = 5000


def remove_markup(text: str, cuts: Cuts | None = None) -> str:
    """Return text without illustrations, notes, page numbers and `_emphasis_`, words joined over line ends; paragraphs with a blank line
    between them; no space at line ends. What is taken out is added to `cuts`."""
    cuts = Cuts() if cuts is None else cuts
    text = _take(ILLUSTRATION, text, "illustration", cuts)
    text = _take(TRANSCRIBER, text, "transcriber's note", cuts)
    text = _take(TRANSCRIBER_BLOCK, text, "transcriber's note", cuts)
    text = _take(PAGE_MARK, text, "page number", cuts)
    for pattern in EMPHASIS:
        text = _emphasis(pattern, text, cuts)
    text = _page_numbers(text, cuts)
    text = _strip_lines(join_pages(put_headings_back(text), cuts))
    text = join_hyphens(text, cuts)
    text = separate_headings(separate_paragraphs(text))
    return strip_footnotes(text, cuts)


def _take(pattern: re.Pattern[str], text: str, kind: str, cuts: Cuts) -> str:
    def note(match: re.Match[str]) -> str:
        cuts.add(kind, match[0])
        return ""

    return pattern.sub(note, text)


def _emphasis(pattern: re.Pattern[str], text: str, cuts: Cuts) -> str:
    def note(match: re.Match[str]) -> str:
        cuts.add("emphasis", match[0], len(match[0]) - len(match[1]))
        return match[1]

    return pattern.sub(note, text)


def _strip_lines(text: str) -> str:
    return "\n".join([line.rstrip() for line in text.split("\n")])


def _page_numbers(text: str, cuts: Cuts) -> str:
    """Turn lines that are page numbers into page ends, where they come as often as pages do; leave chapters' numbers; remove the rest."""
    found = list(PAGE_NUMBER.finditer(text))
    if not found:
        return text
    plain = [match for match in found if match["plain"]]
    distances = [after.start() - before.end() for before, after in itertools.pairwise(plain)]
    usual = median(distances) if distances else 0
    numbers = [int(match["plain"]) for match in plain]
    are_chapters = numbers == list(range(1, len(numbers) + 1)) and len(numbers) > 1 and usual >= CHAPTER_CHARACTERS
    rises = sum(before < after for before, after in itertools.pairwise(numbers))
    are_pages = len(plain) >= PAGES and PAGE_CHARACTERS[0] <= usual <= PAGE_CHARACTERS[1] and rises >= 0.8 * len(distances)

    def note(match: re.Match[str]) -> str:
        if match["plain"] and are_chapters:
            return match[0]
        cuts.add("page number", match[0].strip())
        return PAGE if are_pages and match["plain"] else ""

    return PAGE_NUMBER.sub(note, text)
