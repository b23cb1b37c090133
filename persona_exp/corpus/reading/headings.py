"""Headings, their kinds and numbers: "CHAPTER I", "Book the First", "IV.", "I. A TITLE", "PROLOGUE", a line of stars."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

ROMAN = r"(?=[IVXLCD])(?:CD|D?C{0,3})(?:XC|XL|L?X{0,4})(?:IX|IV|V?I{0,4})"
ORDINALS = (
    "first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth|thirteenth|fourteenth|fifteenth|sixteenth|"
    "seventeenth|eighteenth|nineteenth|twentieth|thirtieth|fortieth|last"
)
WORDS = (
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen|"
    f"twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|{ORDINALS}"
)
NUMBER = rf"(?:(?:the\s+)?(?:{WORDS})(?:[- ](?:{WORDS}))?|\d{{1,3}}|{ROMAN})(?![A-Za-z])"
CHAPTER = re.compile(
    rf"(?:(?:chapter|chap\.?|adventure|letter|stave|canto|scene)\s+{NUMBER}|the\s+(?:{ORDINALS})\s+(?:chapter|adventure|stave|canto)\b)(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
CONTAINER = re.compile(
    rf"(?:(?:part|book|volume|vol\.|act|phase|epoch|period)\s+{NUMBER}"
    rf"|(?:the\s+)?(?:{ORDINALS})\s+(?:part|book|volume|act|phase|epoch|period)\b)(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
CONTAINER_WORD = re.compile(r"part|book|vol|act|phase|epoch|period", re.IGNORECASE)
NUMBERED = re.compile(rf"(?P<number>{ROMAN}|\d{{1,3}})\s{{0,9}}[.:—-]\s{{0,9}}(?P<rest>\S.*)", re.DOTALL)
BARE = re.compile(rf"(?P<number>{ROMAN}|\d{{1,3}})\.?")
NAMED = re.compile(
    r"(?:prologue|epilogue|prelude|preface|foreword|introduction|introductory|conclusion|afterword|postscript|finale|interlude)\.?",
    re.IGNORECASE,
)
CAPITALS = re.compile(r"[A-Z][A-Z0-9 ’',.:&;\n-]{3,80}")
VOLUME_END = r"end\s{1,9}of\s+(?:the\s+)?(?:\w+\s+)?(?:part|book|volume|vol\.?)[^\n]{0,40}"
END = re.compile(rf"(?:finis|the\s{{1,9}}end|(?:the\s{{1,9}})?{VOLUME_END})[.!]?", re.IGNORECASE)
CONTENTS = re.compile(r"(?:table\s{1,9}of\s{1,9})?contents[.:]?", re.IGNORECASE)
RULE = re.compile(r"[\s*·•~=_#—-]+")
MAX_HEADING = 300
BLANK_LINE = re.compile(r"\n[^\S\n]*\n")
FILLED = re.compile(r"\S")


@dataclass(frozen=True)
class Block:
    """Lines without a blank line between them, `text[start:end]`."""

    start: int
    end: int
    text: str


def blocks(text: str, start: int = 0, end: int | None = None) -> Iterator[Block]:
    """Return the blocks of `text[start:end]` in order."""
    end = len(text) if end is None else end
    begin = _filled(text, start, end)
    while begin < end:
        gap = BLANK_LINE.search(text, begin, end)
        stop = gap.start() if gap else end
        block = text[begin:stop].rstrip()
        yield Block(begin, begin + len(block), block)
        begin = _filled(text, gap.end(), end) if gap else end


def _filled(text: str, start: int, end: int) -> int:
    found = FILLED.search(text, start, end)
    return found.start() if found else end


def heading_kind(block: str) -> str | None:
    """Return what sort of heading a block is: chapter, container, numbered, bare, named, capitals, rule, end, contents; None for prose."""
    if len(block) > MAX_HEADING and not RULE.match(block):
        return None
    if RULE.fullmatch(block):
        return "rule"
    lines = [line.strip() for line in block.split("\n")]
    words = " ".join(lines)
    for kind, pattern in (("end", END), ("contents", CONTENTS), ("named", NAMED), ("bare", BARE)):
        if pattern.fullmatch(words):
            return kind
    # A long title is distinguished from prose by its capitals.
    if len(lines) > 6 or ((len(lines) > 4 or len(words) > 200) and not words[12:].isupper()):
        return None
    for kind, pattern in (("chapter", CHAPTER), ("container", CONTAINER)):
        match = pattern.fullmatch(words)
        if match and _is_title(match["rest"]) and not any(pattern.match(line) for line in lines[1:]):
            return kind
    match = NUMBERED.fullmatch(words)
    if match and len(lines) <= 2 and len(words) <= 100 and _is_title(". " + match["rest"]) and not words.endswith((".", ",", ";", ":")):
        return None if any(NUMBERED.fullmatch(line) for line in lines[1:]) else "numbered"
    if len(lines) <= 2 and CAPITALS.fullmatch(block) and not words.endswith((",", ";")):
        return "capitals"
    return None


def _is_title(rest: str) -> bool:
    """Return whether what follows "Chapter I" is a title, not the rest of a sentence ("Part one of my plan was done.")."""
    rest = rest.strip(" \t\n")
    return not rest or not rest[0].islower()


def number_of(heading: str) -> int | None:
    """Return the number that a numbered or bare heading begins with."""
    match = NUMBERED.fullmatch(heading) or BARE.fullmatch(heading)
    if match is None:
        return None
    if match["number"].isdigit():
        return int(match["number"])
    values = [{"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500}[letter] for letter in match["number"]]
    return sum(-value if value < max(values[place:]) else value for place, value in enumerate(values))


def heading_has_title(heading: str) -> bool:
    """Return whether a chapter's heading says more than its number."""
    match = CHAPTER.fullmatch(heading)
    return match is not None and bool(match["rest"].strip(" .:—-"))
