"""Where a book's chapters begin and end, told by its headings."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

ROMAN = r"(?=[IVXLC])(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})"
WORDS = (
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen|"
    "twenty|thirty|forty|fifty|first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|last"
)
NUMBER = rf"(?:(?:the\s+)?(?:{WORDS})(?:[- ](?:{WORDS}))?|\d{{1,3}}|{ROMAN})(?![A-Za-z])"
CHAPTER = re.compile(rf"(?:chapter|adventure|letter|stave|canto|scene)\s+{NUMBER}(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
CONTAINER = re.compile(rf"(?:part|book|volume|vol\.|act)\s+{NUMBER}(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
NUMBERED = re.compile(rf"(?:{ROMAN}|\d{{1,3}})\s*[.:—-]\s*(?P<rest>\S.*)", re.DOTALL)
BARE = re.compile(rf"(?:{ROMAN}|\d{{1,3}})\.?")
NAMED = re.compile(r"(?:prologue|epilogue|preface|introduction|conclusion|afterword|postscript)\.?", re.IGNORECASE)
CAPITALS = re.compile(r"[A-Z][A-Z0-9 ’',.:&;\n-]{3,80}")
END = re.compile(r"(?:the\s+end|finis)[.!]?", re.IGNORECASE)
CONTENTS = re.compile(r"(?:table\s+of\s+)?contents[.:]?", re.IGNORECASE)
RULE = re.compile(r"[\s*·•~=_#—-]+")
SENTENCE_END = re.compile(r"[.!?:;—…]*[.!?:;—…”\"'’)\]]$")
MIN_FRONT_WORDS = 300


@dataclass(frozen=True)
class Chapter:
    """A chapter's body, `text[start:end]`, without its heading; `part` is the heading of the part of the book that it stands in."""

    title: str
    start: int
    end: int
    part: str = ""


@dataclass(frozen=True)
class Block:
    """Lines without a blank line between them, `text[start:end]`."""

    start: int
    end: int
    text: str


def blocks(text: str, start: int = 0, end: int | None = None) -> Iterator[Block]:
    """The blocks of `text[start:end]` in order."""
    for match in re.compile(r"\S[^\n]*(?:\n[^\S\n]*\S[^\n]*)*").finditer(text, start, len(text) if end is None else end):
        yield Block(match.start(), match.start() + len(match[0].rstrip()), match[0].rstrip())


def heading_kind(block: str) -> str | None:
    """What sort of heading a block is: chapter, container, numbered, bare, named, capitals, rule, end, contents; None for prose."""
    lines = [line.strip() for line in block.split("\n")]
    words = " ".join(lines)
    if RULE.fullmatch(words):
        return "rule"
    for kind, pattern in (("end", END), ("contents", CONTENTS), ("named", NAMED), ("bare", BARE)):
        if pattern.fullmatch(words):
            return kind
    if len(lines) > 4 or len(words) > 200:
        return None
    for kind, pattern in (("chapter", CHAPTER), ("container", CONTAINER)):
        match = pattern.fullmatch(words)
        if match and _is_title(match["rest"]) and not any(pattern.match(line) for line in lines[1:]):
            return kind
    match = NUMBERED.fullmatch(words)
    if match and len(lines) <= 2 and len(words) <= 100 and _is_title(". " + match["rest"]) and not re.search(r"[.,;:]$", words):
        return None if any(NUMBERED.fullmatch(line) for line in lines[1:]) else "numbered"
    if len(lines) <= 2 and CAPITALS.fullmatch(block) and not words.endswith((",", ";")):
        return "capitals"
    return None


def _is_title(rest: str) -> bool:
    """Whether what follows "Chapter I" is a title, not the rest of a sentence ("Part one of my plan was done.")."""
    rest = rest.strip(" \t\n")
    return not rest or not rest[0].islower()


def find_chapters(text: str) -> tuple[Chapter, ...]:
    """The chapters of a book. A text without headings is one chapter; contents lists and front matter belong to none.

    The strongest sort of heading that occurs twice makes the chapters ("Chapter I", then "I. A Title", then "I.", then parts, then a
    title in capitals); a weaker one inside a chapter is only a break between scenes.
    """
    found = [(block, heading_kind(block.text)) for block in blocks(text)]
    for kinds in (("chapter",), ("numbered",), ("bare",), ("container",), ("capitals",)):
        chapters = _chapters_at(text, found, kinds)
        if len(chapters) >= 2:
            return tuple(chapters)
    body = [block for block, kind in found if kind is None]
    # A title alone in its block at the top is not a paragraph of the story.
    first = body[1] if len(body) > 1 and not SENTENCE_END.search(body[0].text) else body[0] if body else None
    return (Chapter("", first.start, body[-1].end),) if first else ()


def _chapters_at(text: str, found: list[tuple[Block, str | None]], kinds: tuple[str, ...]) -> list[Chapter]:
    starts = [index for index, (_, kind) in enumerate(found) if kind in kinds or kind == "named"]
    if sum(found[index][1] in kinds for index in starts) < 2:
        return []
    chapters = []
    front = [block for block in _prose(found[: starts[0]]) if SENTENCE_END.search(block.text)]
    if sum(len(block.text.split()) for block in front) >= MIN_FRONT_WORDS:
        chapters.append(Chapter("", front[0].start, front[-1].end))
    for position, index in enumerate(starts):
        after = starts[position + 1] if position + 1 < len(starts) else len(found)
        body = found[index + 1 : after]
        ends = [place for place, (_, kind) in enumerate(body) if kind in ("container", "contents") or kind == "end"]
        if "container" not in kinds and ends:
            body = body[: ends[0]]
        title = " ".join(found[index][0].text.split())
        heading_is_whole = len(found[index][0].text.split("\n")) > 1 or found[index][1] in ("numbered", "named", "capitals")
        if body and not heading_is_whole and _is_subtitle(body[0]):
            title = f"{title} {' '.join(body[0][0].text.split())}"
            body = body[1:]
        prose = _prose(body)
        # A line of the contents list has no prose behind it.
        if any(SENTENCE_END.search(block.text) for block in prose):
            chapters.append(Chapter(title, prose[0].start, prose[-1].end))
    return chapters


def _prose(found: list[tuple[Block, str | None]]) -> list[Block]:
    return [block for block, kind in found if kind is None]


def _is_subtitle(found: tuple[Block, str | None]) -> bool:
    block, kind = found
    return kind in (None, "capitals") and "\n" not in block.text and len(block.text) <= 80 and not SENTENCE_END.search(block.text)
