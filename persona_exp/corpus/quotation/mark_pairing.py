"""Quotation marks of one paragraph paired to pieces of speech; where speech begins or ends whose mark was lost."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from persona_exp.corpus.quotation.quotation_marks import Mark, find_marks
from persona_exp.corpus.reading.paragraphs_and_scenes import Paragraph
from persona_exp.corpus.word_lists.speech_verbs import CUE, CUE_BEHIND, SAYS, SOMEBODY

# Speech that nothing opened reaches back this far at the most, in characters.
FARTHEST = 600
CUE_WITHIN = re.compile(rf"[,.!?;…—–-](?P<gap>\s+)(?P<cue>{CUE})")
CUE_AT_END = re.compile(
    rf"[,!?;…—–-](?P<gap>\s+)(?P<cue>(?:{SAYS}\s+{SOMEBODY}|(?:I|he|she|they|[A-Z]\w+)\s+{SAYS}\b)[^,.!?;:]{{0,60}}[.:;]?)$"
)


@dataclass(frozen=True)
class SpeechPiece:
    """`text[start:end]` between marks, which themselves begin at `mark` and end at `after`; not `closed` where the paragraph ends first."""

    start: int
    end: int
    mark: int
    after: int
    paragraph: int
    closed: bool


@dataclass(frozen=True)
class ParagraphSpeech:
    """A paragraph's pieces. `rule` is "" where its marks pair, "unclosed" where words tell where a missing one was, else "malformed".

    `stray` is a closing mark that stands before any opening one: what a speech of an earlier paragraph may end with.
    """

    pieces: tuple[SpeechPiece, ...]
    rule: str
    stray: Mark | None = None

    @property
    def goes_on(self) -> bool:
        """Whether speech is open at the paragraph's end."""
        return bool(self.pieces) and not self.pieces[-1].closed

    def opens(self, paragraph: Paragraph) -> bool:
        """Return whether the paragraph begins with a mark that opens."""
        return bool(self.pieces) and self.pieces[0].mark == paragraph.start


def pair_marks(text: str, paragraph: Paragraph, index: int, style: str) -> ParagraphSpeech:
    """Return the pieces of one paragraph, the `index`-th, by the marks of `style`. A missing mark costs only the piece it belongs to."""
    found = find_marks(text, paragraph.start, paragraph.end, style)
    if found is None:
        return ParagraphSpeech((), "malformed")
    pieces: list[SpeechPiece] = []
    rules: set[str] = set()
    opened: Mark | None = None
    stray: Mark | None = None
    inner = 0
    # “‘“Go,” said he: a story within a story keeps both its marks open.
    threefold = False
    for place, token in enumerate(found):
        if opened is None:
            if token.kind in ("open", "either"):
                opened = token
            elif token.kind == "close" and not (style == "double" and text[token.start - 1 : token.start].isdigit()):
                if not pieces and stray is None:
                    stray = token
                elif style != "single":
                    begin = pieces[-1].after if pieces else stray.end if stray else paragraph.start
                    pieces.append(_without_opening(text, begin, token, index, first=False))
                    rules.add("unclosed")
        elif inner:
            inner += 1 if token.kind == "open" else -1
        elif token.kind == "open":
            threefold = threefold or text[opened.end : token.start].strip() in ("‘", "'", "`")
            if threefold or _nests(text, found, place, style):
                # In single marks an inner one is an apostrophe ('ospital), which no other closes.
                inner = 0 if style == "single" else 1
                continue
            end = lost_end(text, opened.end, token.start)
            rules.add("malformed" if end is None else "unclosed")
            end = len(text[opened.end : token.start].rstrip()) + opened.end if end is None else end
            pieces.append(SpeechPiece(opened.end, end, opened.start, end, index, True))
            opened = token
        else:
            pieces.append(SpeechPiece(opened.end, token.start, opened.start, token.end, index, True))
            opened, threefold = None, False
    if opened is not None:
        pieces.append(SpeechPiece(opened.end, paragraph.end, opened.start, paragraph.end, index, False))
    said = tuple(piece for piece in pieces if text[piece.start : piece.end].strip())
    rule = "malformed" if "malformed" in rules else "unclosed" if rules else ""
    return ParagraphSpeech(said, rule, stray if style != "single" or len(found) < 3 or not said else None)


def _nests(text: str, found: Sequence[Mark], place: int, style: str) -> bool:
    """Return whether an opening mark inside open speech is an inner one, not one behind a closing mark that was lost."""
    if style == "single":
        before, after = text[found[place].start - 2 : found[place].start].strip()[-1:], text[found[place].end : found[place].end + 1]
        return not (before in ",.!?:;" and after.isupper())
    closing = [token.kind != "open" for token in found[place + 1 : place + 3]]
    return closing == [True, True]


def _without_opening(text: str, begin: int, token: Mark, index: int, first: bool) -> SpeechPiece:
    start = lost_start(text, begin, token.start, first)
    start += len(text[start : token.start]) - len(text[start : token.start].lstrip())
    return SpeechPiece(start, token.start, start, token.end, index, True)


def with_lost_opening(text: str, paragraph: Paragraph, index: int, found: ParagraphSpeech) -> ParagraphSpeech:
    """Return `found` with the speech that its stray closing mark ends, from the paragraph's beginning on."""
    if found.stray is None:
        return found
    if found.stray.start - paragraph.start > FARTHEST:
        return ParagraphSpeech(found.pieces, "malformed")
    piece = _without_opening(text, paragraph.start, found.stray, index, first=True)
    if not text[piece.start : piece.end].strip():
        return ParagraphSpeech(found.pieces, found.rule)
    return ParagraphSpeech((piece, *found.pieces), found.rule or "unclosed")


def continued_piece(paragraph: Paragraph, index: int, found: ParagraphSpeech) -> SpeechPiece:
    """Return what an open speech says in a paragraph that does not open its marks again: all, or what stands before the stray mark."""
    end, after = (found.stray.start, found.stray.end) if found.stray else (paragraph.end, paragraph.end)
    return SpeechPiece(paragraph.start, end, paragraph.start, after, index, found.stray is not None)


def with_lost_closing(found: ParagraphSpeech, piece: SpeechPiece, end: int | None) -> ParagraphSpeech:
    """Return `found` with its last piece, which never closed, closed at `end` or where its paragraph ends."""
    last = replace(piece, closed=True) if end is None else replace(piece, end=end, after=end, closed=True)
    return ParagraphSpeech((*found.pieces[:-1], last), "malformed" if found.rule == "malformed" else "unclosed")


def lost_end(text: str, start: int, end: int) -> int | None:
    """Return where speech that begins at `start` and never closes stops: before the first "said he" in `text[start:end]`."""
    match = CUE_WITHIN.search(text, start, end)
    return match.start("gap") if match else None


def trailing_cue(text: str, start: int, end: int) -> int | None:
    """Return where speech stops whose paragraph ends on a cue ("…, said he."): its closing mark was lost."""
    match = CUE_AT_END.search(text, max(start, end - 120), end)
    return match.start("gap") if match else None


def lost_start(text: str, start: int, end: int, first: bool) -> int:
    """Return where speech that closes at `end` without having opened begins: behind the cue that `text[start:end]` begins with, else at
    `start`, which is that of the paragraph where it is the `first` speech in it."""
    cue = None if first else CUE_BEHIND.match(text, start, end)
    if cue is None:
        return start
    stop = re.compile(r"[,.;:]\s+").search(text, cue.end(), min(end, cue.end() + 120))
    return stop.end() if stop else start
