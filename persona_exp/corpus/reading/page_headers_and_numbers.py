"""What a page has and a book has not: running titles, page numbers, an end."""

import re
from collections.abc import Sequence

from persona_exp.corpus.reading.headings import Block, blocks, heading_has_title, heading_kind
from persona_exp.corpus.reading.removed_text import Cuts
from persona_exp.corpus.reading.text_decoding import PAGE

EDGE_LINES = 2
TITLE_CHARACTERS = 80
# A line at so many pages' edges is furniture; one that could be a sentence must be there more often.
TITLE_PAGES = 3
PAGE_CHARACTERS = 8000
SENTENCE_PAGES = 10
# So many headings must stand before the end of a section for any to be moved, each in its section's last characters.
MOVED_HEADINGS = 3
MOVED_CHARACTERS = 4000
NO_BLOCK = Block(0, 0, "")
NUMBER = re.compile(r"[-–—\[({ ]{0,4}(?:page |p\. ?)?(?:\d{1,4}|[ivxl]{1,7})(?: (?:of|/) \d{1,4})?[-–—\])} .]{0,4}", re.IGNORECASE)
ROMAN_HEADING = re.compile(r"[IVXL]+\.?")
STOP = (".", "!", "?", ",", ";", "”", "’", '"', "-", "—", ":")
OPENING = ("“", "‘", '"', "'")


def page_furniture(pages: Sequence[Sequence[str]]) -> list[dict[int, str]]:
    """Return for each page (its lines) which lines are furniture: "page number" or "running title"."""
    edges = [_edges(page) for page in pages]
    # A section of a text is longer than a page, and has no running title.
    are_pages = sum(len(line) for page in pages for line in page) < PAGE_CHARACTERS * len(pages)
    times: dict[str, int] = {}
    for page, edge in zip(pages, edges, strict=True):
        for key in sorted({_key(page[index]) for index in edge}) if are_pages else ():
            times[key] = times.get(key, 0) + 1
    kept: set[str] = set()
    return [_furniture_of(page, times, kept) for page in pages]


def _furniture_of(page: Sequence[str], times: dict[str, int], kept: set[str]) -> dict[int, str]:
    found: dict[int, str] = {}
    filled = [index for index, line in enumerate(page) if line.strip()]
    for inwards in (filled[:EDGE_LINES], filled[::-1][:EDGE_LINES]):
        for index in inwards:
            kind = found.get(index) or _furniture_kind(page, filled, index, times, kept)
            # What stands further in than a line of the book is of the book.
            if kind is None:
                break
            found[index] = kind
    return found


def _furniture_kind(page: Sequence[str], filled: list[int], index: int, times: dict[str, int], kept: set[str]) -> str | None:
    line = page[index].strip()
    if is_page_number(line):
        return "page number"
    key = _key(line)
    sentence = line.startswith(OPENING) or line.endswith(STOP)
    if not key or len(line) > TITLE_CHARACTERS or times.get(key, 0) < (SENTENCE_PAGES if sentence else TITLE_PAGES):
        return None
    # The heading itself, from which the running title is taken, opens its chapter: it stays.
    place = filled.index(index)
    before = page[filled[place - 1]].strip() if place else ""
    opens = heading_kind(line) not in (None, "capitals") or (before and heading_kind(before) in ("chapter", "bare", "container"))
    if opens and key not in kept:
        kept.add(key)
        return None
    return "running title"


def _edges(page: Sequence[str]) -> list[int]:
    """Return where the first and the last lines of a page are."""
    filled = [index for index, line in enumerate(page) if line.strip()]
    return sorted({*filled[:EDGE_LINES], *filled[-EDGE_LINES:]})


def _key(line: str) -> str:
    """Return a line without what changes from page to page."""
    return re.sub(r"[\W\d_]+", " ", line[: TITLE_CHARACTERS + 1]).strip().casefold()


def is_page_number(line: str) -> bool:
    """Return whether a line is a page number and nothing else; a capital Roman numeral is a heading."""
    return len(line) <= 20 and NUMBER.fullmatch(line) is not None and not ROMAN_HEADING.fullmatch(line)


def join_pages(text: str, cuts: Cuts) -> str:
    """Return text without page ends and furniture; a paragraph that goes on over a page end is one again."""
    if PAGE not in text:
        return text
    pages = [page.split("\n") for page in text.split(PAGE)]
    joined: list[str] = []
    for page, found in zip(pages, page_furniture(pages), strict=True):
        for index, kind in found.items():
            cuts.add(kind, page[index])
        lines = [line for index, line in enumerate(page) if index not in found]
        while lines and not lines[0].strip():
            lines.pop(0)
        while lines and not lines[-1].strip():
            lines.pop()
        if joined and lines and not continues_on_next_page(joined[-1], lines[0]):
            joined.append("")
        joined += lines
    return "\n".join(joined) + "\n"


def continues_on_next_page(last: str, first: str) -> bool:
    """Return whether the paragraph of a page's `last` line goes on in the next page's `first` line."""
    last, first = last.rstrip(), first.strip()
    if not last or not first or heading_kind(first) is not None or heading_kind(last.strip()) is not None:
        return False
    return first[0].islower() or last.endswith(("-", ",", ";")) or last[-1].isalpha()


def put_headings_back(text: str) -> str:
    """Return text with headings put back to the beginning of their section.

    Where a page was read with its heading first, that heading stands some paragraphs before the end of the section before its own.
    """
    sections = text.split(PAGE)
    places = [_last_heading(section) for section in sections]
    opens = [heading_kind(next(blocks(section), NO_BLOCK).text.split("\n")[0].strip()) not in (None, "capitals") for section in sections]
    moved = [place is not None and not after for place, after in zip(places[:-1], opens[1:], strict=True)]
    if sum(moved) < MOVED_HEADINGS:
        return text
    # From the last to the first, so that places hold.
    for index, place in reversed(list(enumerate(places[:-1]))):
        if place is not None and moved[index]:
            start, end = place
            section = sections[index]
            sections[index] = f"{section[:start]}{section[end:]}"
            sections[index + 1] = f"\n{section[start:end].strip()}\n\n{sections[index + 1]}"
    return PAGE.join(sections)


def _last_heading(section: str) -> tuple[int, int] | None:
    """Return where the last chapter heading of a section stands, title included, among its last characters and with text behind it."""
    lines = section[-MOVED_CHARACTERS:].split("\n")
    place = len(section) - sum(map(len, lines)) - len(lines) + 1
    starts = []
    for line in lines:
        starts.append(place)
        place += len(line) + 1
    for index in range(len(lines) - 1, -1, -1):
        words = lines[index].strip()
        if words and heading_kind(words) == "chapter":
            title = index + 1 if heading_has_title(words) or index + 1 == len(lines) else index + 2
            behind = any(line.strip() for line in lines[title:])
            return (starts[index], starts[title] if title < len(lines) else len(section)) if behind else None
    return None
