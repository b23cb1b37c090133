"""Where a book's chapters begin and end, by its headings."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from persona_exp.corpus.reading.headings import CONTAINER_WORD, Block, blocks, heading_kind, number_of

SENTENCE_END = re.compile(r"[.!?:;—…”\"'’)\]]$")
MIN_FRONT_WORDS = 300
# Titles in capitals are chapters only where there is so much between them: signs, letters and cries are in capitals, too.
MIN_CAPITALS_WORDS = 150
# A numbered heading after which none can follow: numbers rise by one, or by few where a heading was lost.
MAX_STEP = 3
LISTED_CHARACTERS = 600
NO_CHAPTER = ("container", "contents", "end", "rule")


@dataclass(frozen=True)
class Chapter:
    """A chapter's body, `text[start:end]`, without its heading; `part` is the heading of the part of the book that it stands in."""

    title: str
    start: int
    end: int
    part: str = ""


@dataclass(frozen=True)
class HeadedChapter:
    """A chapter, and where its heading begins."""

    heading: int
    chapter: Chapter


@dataclass(frozen=True)
class ClassifiedBlock:
    """A block, what sort of heading it is, and the level that its file gives it as a heading (None: none)."""

    block: Block
    kind: str | None
    level: int | None


def find_chapters(text: str, levels: Mapping[int, int] | None = None) -> tuple[Chapter, ...]:
    """Return the chapters of a book. A text without headings is one chapter; contents lists and front matter belong to none.

    `levels` are the levels of headings that the file marks as such, by where they begin. The strongest sort of heading that occurs
    twice makes the chapters ("Chapter I", then "I. A Title", then "I.", then headings marked in the file, then parts, then titles in
    capitals); a weaker one inside a chapter is only a break between scenes.
    """
    return tuple(found.chapter for found in find_headed_chapters(text, levels))


def find_headed_chapters(text: str, levels: Mapping[int, int] | None = None) -> list[HeadedChapter]:
    """Return what `find_chapters` does, with the places of the headings."""
    levels = levels or {}
    pieces = [ClassifiedBlock(block, heading_kind(block.text), levels.get(block.start)) for block in blocks(text)]
    for kind in ("chapter", "numbered", "bare"):
        # In a file that marks headings, those are the chapters' where there are some of this kind.
        for marked in (True, False) if levels else (False,):
            starts = [place for place, piece in enumerate(pieces) if piece.kind == kind and (piece.level is not None or not marked)]
            found = _chapters_at(pieces, _in_sequence(pieces, starts) if kind in ("numbered", "bare") else starts, kind)
            if len(found) >= 2:
                return found
    for level in sorted(set(levels.values())):
        starts = [place for place, piece in enumerate(pieces) if piece.level == level and piece.kind not in NO_CHAPTER]
        found = [] if _head_parts(pieces, starts, level) else _chapters_at(pieces, starts, "marked")
        if len(found) >= 2:
            return found
    for kind in ("container", "capitals"):
        found = _chapters_at(pieces, [place for place, piece in enumerate(pieces) if piece.kind == kind], kind)
        if len(found) >= 2 and (kind == "container" or _are_long(text, found)):
            return found
    body = [piece for piece in pieces if piece.kind is None and piece.level is None]
    # A title alone in its block at the top is not a paragraph of the story.
    first = body[1] if len(body) > 1 and not _ends_sentence(body[0].block) else body[0] if body else None
    return [HeadedChapter(first.block.start, Chapter("", first.block.start, body[-1].block.end))] if first else []


def _head_parts(pieces: list[ClassifiedBlock], starts: list[int], level: int) -> bool:
    """Return whether most of the headings at `starts` are parts': a deeper heading comes before any prose."""
    following = [pieces[place + 1].level for place in starts if place + 1 < len(pieces)]
    return 2 * sum(deeper is not None and deeper > level for deeper in following) > len(starts)


def _in_sequence(pieces: list[ClassifiedBlock], starts: list[int]) -> list[int]:
    """Return those of the numbered headings at `starts` whose numbers count on, or begin anew at one."""
    kept: list[int] = []
    last = 0
    for place in starts:
        number = number_of(" ".join(pieces[place].block.text.split())) or 0
        if number == 1 or last < number <= last + MAX_STEP:
            kept.append(place)
            last = number
    return kept


def _are_long(text: str, found: list[HeadedChapter]) -> bool:
    if sum(len(text[one.chapter.start : one.chapter.end].split()) for one in found) < MIN_CAPITALS_WORDS * len(found):
        return False
    return median(one.chapter.end - one.chapter.start for one in found) > 5 * MIN_CAPITALS_WORDS


def _chapters_at(pieces: list[ClassifiedBlock], starts: list[int], kind: str) -> list[HeadedChapter]:
    """Return the chapters that begin at the headings `starts`, and at a prologue or an epilogue; fewer than two `starts`: none."""
    if len(starts) < 2:
        return []
    own = set(starts)
    named = [place for place, piece in enumerate(pieces) if piece.kind == "named" and place not in own]
    starts = sorted([*starts, *named])
    shallow = min((level for place in own if (level := pieces[place].level) is not None), default=0)
    found: list[HeadedChapter] = []
    chapters = 0
    front = [piece.block for piece in _prose(pieces[: starts[0]]) if _ends_sentence(piece.block)]
    if sum(len(block.text.split()) for block in front) >= MIN_FRONT_WORDS:
        found.append(HeadedChapter(front[0].start, Chapter("", front[0].start, front[-1].end)))
    parts = _Parts(kind, shallow)
    for piece_before in range(starts[0]):
        parts.meet(pieces, piece_before)
    for position, place in enumerate(starts):
        after = starts[position + 1] if position + 1 < len(starts) else len(pieces)
        part = parts.now()
        title, begin = _title(pieces, place, after)
        stop = next((at for at in range(begin, after) if parts.closes(pieces, at)), after)
        prose = _prose(pieces[begin:stop])
        # A line of the contents list has no prose behind it.
        if any(_ends_sentence(piece.block) for piece in prose):
            found.append(HeadedChapter(pieces[place].block.start, Chapter(title, prose[0].block.start, prose[-1].block.end, part)))
            chapters += place in own
        for at in range(begin, after):
            parts.meet(pieces, at)
    return _without_listed(found) if chapters >= 2 else []


def _without_listed(found: list[HeadedChapter]) -> list[HeadedChapter]:
    """Return `found` without those of next to no text that have a later chapter's title: the last line of a contents list."""
    longest: dict[str, int] = {}
    kept: list[HeadedChapter] = []
    for one in reversed(found):
        title, length = one.chapter.title.casefold().strip(" ."), one.chapter.end - one.chapter.start
        if not title or length > LISTED_CHARACTERS or longest.get(title, 0) < 10 * length:
            kept.append(one)
        longest[title] = max(length, longest.get(title, 0))
    return kept[::-1]


class _Parts:
    """The headings of the parts that the reading stands in: a volume, a book in it."""

    def __init__(self, kind: str, shallow: int) -> None:
        self._kind = kind
        self._shallow = shallow
        self._open: list[tuple[str, str]] = []

    def _is_part(self, pieces: list[ClassifiedBlock], at: int) -> bool:
        if self._kind == "container":
            return False
        piece = pieces[at]
        # A heading above the chapters' level is a part's, but for the book's own title.
        above = piece.level is not None and piece.level < self._shallow and piece.kind not in ("contents", "end", "rule")
        if above and at == 0:
            above = sum(other.level == piece.level for other in pieces) > 1
        return piece.kind == "container" or above

    def meet(self, pieces: list[ClassifiedBlock], at: int) -> None:
        """Read on over the piece at `at`: a part's heading ends the part of its sort before it."""
        if not self._is_part(pieces, at):
            return
        title = " ".join(pieces[at].block.text.split())
        word = CONTAINER_WORD.search(title)
        sort = word[0].lower() if word and pieces[at].kind == "container" else f"level {pieces[at].level}"
        following = pieces[at + 1] if at + 1 < len(pieces) else None
        if following is not None and pieces[at].kind == "container" and len(title) < 20 and _is_part_subtitle(pieces, at + 1):
            title = f"{title} {' '.join(following.block.text.split())}"
        sorts = [one for one, _ in self._open]
        if sort in sorts:
            del self._open[sorts.index(sort) :]
        self._open.append((sort, title))

    def closes(self, pieces: list[ClassifiedBlock], at: int) -> bool:
        """Return whether the piece at `at` ends the chapter before it."""
        return self._is_part(pieces, at) or pieces[at].kind in ("contents", "end")

    def now(self) -> str:
        return ", ".join(title for _, title in self._open)


def _is_part_subtitle(pieces: list[ClassifiedBlock], at: int) -> bool:
    """Return whether a piece names the part whose heading stands before it: one line, followed by a chapter's heading."""
    text = pieces[at].block.text
    if "\n" in text or len(text) > 80 or pieces[at].kind not in (None, "capitals"):
        return False
    following = pieces[at + 1].kind if at + 1 < len(pieces) else None
    return following not in (None, "capitals", "rule") or _is_title_case(text)


def _title(pieces: list[ClassifiedBlock], place: int, after: int) -> tuple[str, int]:
    """Return a chapter's title, from its heading at `place` and a line below it, and where its body begins."""
    heading = pieces[place]
    title = " ".join(heading.block.text.split())
    is_whole = "\n" in heading.block.text or heading.kind in ("numbered", "named", "capitals", None)
    if place + 1 < after and not is_whole and _is_subtitle(pieces[place + 1], title):
        return f"{title} {' '.join(pieces[place + 1].block.text.split())}", place + 2
    return title, place + 1


def _prose(pieces: list[ClassifiedBlock]) -> list[ClassifiedBlock]:
    return [piece for piece in pieces if piece.kind is None]


def _ends_sentence(block: Block) -> bool:
    return SENTENCE_END.search(block.text[-2:]) is not None


def _is_subtitle(piece: ClassifiedBlock, title: str) -> bool:
    text = piece.block.text
    if piece.kind not in (None, "capitals") or "\n" in text or len(text) > 80:
        return False
    if piece.level is not None or not _ends_sentence(piece.block):
        return True
    # "What the Pilot of Saltmere Told the Board" names a chapter that has only its number so far.
    return len(title.split()) == 2 and _is_title_case(text) and not text.startswith(("“", '"', "‘", "'"))


def _is_title_case(text: str) -> bool:
    """Return whether all longer words begin with a capital."""
    words = [word for word in re.findall(r"[^\W\d_]+", text) if len(word) > 3]
    return len(words) >= 2 and all(word[0].isupper() for word in words)
