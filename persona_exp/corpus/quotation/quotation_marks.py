"""Quotation marks: which sort of them a text speaks in, and which opens or closes what."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from persona_exp.corpus.reading.paragraphs_and_scenes import Paragraph

# "double" “…” "…"; "single" ‘…’ '…'; "guillemets" «…»; "paired" ''…'' and ``…''; "dash" —… to the end of the paragraph.
STYLES = ("double", "single", "guillemets", "paired", "dash")
# Words that lose their first letters: what stands before them is an apostrophe more often than a mark.
ELIDED = (
    r"(?:tis|twas|twere|twill|twould|twon|tisn|twasn|em|im|er|is|e|ave|ad|as|ow|un|til|till|cause|cos|bout|cept|gainst|mid|midst|mong|"
    r"neath|round|way|ere|ead|eart|eard|ome|orse|ouse|and|alf|ard|at|uns|ud|spect|scuse|appen|ands|n|s|ll|d|m|re|ve|t|\d\ds?)(?![\w])"
)
ELISION = re.compile(ELIDED, re.IGNORECASE)
# Words that lose their last letters.
CLIPPED = re.compile(r"(?<!\w)(?:\w+in|th|o|an|wi|wid|ol|fo|mo|tha|ha|roun|las|bes|jus|mus|tol|tho|t)$", re.IGNORECASE)
GAP_BEFORE = frozenset("([{—–-―/*_‘'“\"«`")
GAP_AFTER = frozenset(".,;:!?)]}—–-―…’'”\"»*")
STRONG_BEFORE = frozenset('.,;:!?…—–-―)]”"»_*')
MARK_PATTERNS = {
    "double": re.compile('[“”„‟"]'),
    "single": re.compile(r"(?<!\w)[‘’'`]+|[‘’'`]+(?!\w)"),
    "guillemets": re.compile("[«»]"),
    "paired": re.compile("''|``|’’|‘‘"),
}
OPENS_PARAGRAPH = {
    "double": re.compile('[“„‟"]'),
    "single": re.compile(rf"[‘'`](?![‘'`])(?!{ELIDED})", re.IGNORECASE),
    "guillemets": re.compile("«"),
    "paired": re.compile("''|``|‘‘"),
    "dash": re.compile(r"(?:[—–―]|--)[^\S\n]*[\w'‘’…]"),
}
OPENS_INLINE = {
    "double": re.compile(r"(?<=[\s(—–-])[“„\"](?=\S)"),
    "single": re.compile(rf"(?<=[\s(—–-])[‘'`](?=\w)(?!{ELIDED})", re.IGNORECASE),
    "guillemets": re.compile("«"),
    "paired": re.compile(r"(?<![\w'’‘`])(?:''|``|‘‘)(?=\w)"),
}
CLOSES_SINGLE = re.compile(r"(?<=[.,!?;:…—–-])[’'](?![\w’'])")
# Real text has a mark in every tenth word at the most; what has more is noise, and nobody can tell what is said in it.
DENSEST = 6
SAMPLE = 2_000_000


@dataclass(frozen=True)
class Mark:
    """A mark at `text[start:end]`; `kind` is "open", "close", or "either" where its neighbours do not tell."""

    start: int
    end: int
    kind: str


def find_style(text: str, paragraphs: Sequence[Paragraph], default: str | None = None) -> str:
    """Return the marks that speech stands in, one of `STYLES`; `default`, where there is one, if the paragraphs show too little of it.

    What opens paragraphs decides: inside them an inner quotation resembles an outer one.
    """
    opening = dict.fromkeys(STYLES, 0)
    for paragraph in paragraphs:
        for style, pattern in OPENS_PARAGRAPH.items():
            if pattern.match(text, paragraph.start, paragraph.end):
                opening[style] += 1
    if paragraphs:
        start, end = paragraphs[0].start, min(paragraphs[-1].end, paragraphs[0].start + SAMPLE)
        inline = {style: len(pattern.findall(text, start, end)) for style, pattern in OPENS_INLINE.items()}
        if opening["single"] > opening["double"] and len(CLOSES_SINGLE.findall(text, start, end)) * 2 < opening["single"]:
            opening["single"] = 0
    else:
        inline = dict.fromkeys(OPENS_INLINE, 0)
    marked = sum(opening[style] for style in STYLES if style != "dash")
    if opening["dash"] >= 3 and opening["dash"] > 3 * marked and opening["dash"] > sum(inline.values()) / 2:
        return "dash"
    if default and marked + inline["double"] < 5:
        return default
    # Doubled single marks also pass for single ones; elsewhere they are an inner and an outer mark beside each other.
    if opening["paired"] + inline["paired"] > 2 * (opening["double"] + inline["double"]) and opening["paired"] >= opening["single"]:
        return "paired"
    best = max(("double", "single", "guillemets"), key=lambda style: (opening[style], inline[style]))
    if not opening[best] and inline["double"] * 3 < inline["single"] <= 3 * len(CLOSES_SINGLE.findall(text, start, end)):
        return "single"
    return best


def find_marks(text: str, start: int, end: int, style: str) -> list[Mark] | None:
    """Return the marks of the paragraph `text[start:end]` that open and close speech of a `style`; None for too many to be that."""
    found = [match.span() for match in MARK_PATTERNS[style].finditer(text, start, end)]
    if len(found) * DENSEST > end - start and len(found) > 40:
        return None
    if style == "single":
        return _single(text, start, end, found)
    known = {"“": "open", "”": "close", "„": "open", "‟": "open", "«": "open", "»": "close", "``": "open", "‘‘": "open", "’’": "close"}
    return [
        Mark(first, last, known.get(text[first:last]) or _kind(text, start, end, first, last, bool(index)))
        for index, (first, last) in enumerate(found)
    ]


def _kind(text: str, start: int, end: int, first: int, last: int, later: bool) -> str:
    """Return what a straight mark does, from the characters beside it; `later` where another mark stands before it in the paragraph."""
    if first == start:
        return "open"
    if last >= end and later:
        return "close"
    before, after = text[first - 1], text[last : last + 1] if last < end else ""
    gap_before = before.isspace() or before in GAP_BEFORE
    gap_after = not after or after.isspace() or after in GAP_AFTER
    if gap_before and not gap_after:
        # "Oh--"he said: a dash stands on either side of a mark.
        return "open" if before.isspace() or before in "([{" else "either"
    if gap_after and not before.isspace() and not (before in GAP_BEFORE and not after.isspace()):
        return "close"
    return "either"


def _single(text: str, start: int, end: int, found: list[tuple[int, int]]) -> list[Mark]:
    """Return single marks without apostrophes. A mark behind a letter closes unless a better one comes before the next opens."""
    rough: list[tuple[int, int, str]] = []
    for first, last in found:
        if last - first > 3:
            continue
        kind = _single_kind(text, start, end, first, last)
        if kind:
            rough.append((first, last, kind))
    settled: list[Mark] = []
    following = "none"
    for first, last, kind in reversed(rough):
        if kind == "elision":
            # "’Tis true,’ said he" opens with the apostrophe where nothing else can be what the mark behind it closes.
            if following != "close" or not (first == start or text[max(start, first - 4) : first].rstrip()[-1:] in ",.:;!?—-"):
                continue
            kind = "open"
        elif kind == "weak":
            if following == "close" or CLIPPED.search(text, max(start, first - 14), first):
                continue
            kind = "close"
        if kind in ("open", "close"):
            following = kind
        settled.append(Mark(first, last, kind))
    return settled[::-1]


def _single_kind(text: str, start: int, end: int, first: int, last: int) -> str | None:
    mark = text[last - 1]
    before, after = text[first - 1] if first > start else " ", text[last] if last < end else " "
    if mark in "’'" and before in STRONG_BEFORE and not after.isalnum():
        return "close"
    elided = ELISION.match(text, last, min(end, last + 12)) is not None
    if before.isspace() or before in GAP_BEFORE:
        if mark == "’" or (after.isspace() and first != start):
            return None
        return "elision" if elided else "open"
    if mark in "‘`" or after.isalnum():
        return None
    clipped = CLIPPED.search(text, max(start, first - 14), first)
    return "close" if after in ",.;:!?)" and not clipped and text[last + 1 : last + 2] in (" ", "\n", "") else "weak"
