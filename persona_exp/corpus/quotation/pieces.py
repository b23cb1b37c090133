"""What stands between the marks of one paragraph."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from persona_exp.corpus.quotation.marks import Token, tokens
from persona_exp.corpus.quotation.spoken import lost_end, lost_start
from persona_exp.corpus.reading.paragraphs import Paragraph

# Speech that nothing opened reaches back this far at the most, in characters.
FARTHEST = 600


@dataclass(frozen=True)
class Piece:
    """`text[start:end]` between marks, which themselves begin at `mark` and end at `after`; not `closed` where the paragraph ends first."""

    start: int
    end: int
    mark: int
    after: int
    paragraph: int
    closed: bool


@dataclass(frozen=True)
class Scan:
    """A paragraph's pieces. `rule` is "" where its marks pair, "unclosed" where words tell where a missing one was, else "malformed".

    `stray` is a closing mark that stands before any opening one: what a speech of an earlier paragraph may end with.
    """

    pieces: tuple[Piece, ...]
    rule: str
    stray: Token | None = None

    @property
    def goes_on(self) -> bool:
        """Whether speech is open at the paragraph's end."""
        return bool(self.pieces) and not self.pieces[-1].closed

    def opens(self, paragraph: Paragraph) -> bool:
        """Whether the paragraph begins with a mark that opens."""
        return bool(self.pieces) and self.pieces[0].mark == paragraph.start


def scan(text: str, paragraph: Paragraph, index: int, style: str) -> Scan:
    """The pieces of one paragraph, the `index`-th, by the marks of `style`. A missing mark costs the piece it belongs to, no other."""
    found = tokens(text, paragraph.start, paragraph.end, style)
    if found is None:
        return Scan((), "malformed")
    pieces: list[Piece] = []
    rules: set[str] = set()
    opened: Token | None = None
    stray: Token | None = None
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
            pieces.append(Piece(opened.end, end, opened.start, end, index, True))
            opened = token
        else:
            pieces.append(Piece(opened.end, token.start, opened.start, token.end, index, True))
            opened, threefold = None, False
    if opened is not None:
        pieces.append(Piece(opened.end, paragraph.end, opened.start, paragraph.end, index, False))
    said = tuple(piece for piece in pieces if text[piece.start : piece.end].strip())
    rule = "malformed" if "malformed" in rules else "unclosed" if rules else ""
    return Scan(said, rule, stray if style != "single" or len(found) < 3 or not said else None)


def _nests(text: str, found: Sequence[Token], place: int, style: str) -> bool:
    """Whether an opening mark inside open speech is an inner one, not one behind a closing mark that was lost."""
    if style == "single":
        before, after = text[found[place].start - 2 : found[place].start].strip()[-1:], text[found[place].end : found[place].end + 1]
        return not (before in ",.!?:;" and after.isupper())
    closing = [token.kind != "open" for token in found[place + 1 : place + 3]]
    return closing == [True, True]


def _without_opening(text: str, begin: int, token: Token, index: int, first: bool) -> Piece:
    start = lost_start(text, begin, token.start, first)
    start += len(text[start : token.start]) - len(text[start : token.start].lstrip())
    return Piece(start, token.start, start, token.end, index, True)


def recovered(text: str, paragraph: Paragraph, index: int, found: Scan) -> Scan:
    """`found` with the speech that its stray closing mark ends, from the paragraph's beginning on."""
    if found.stray is None:
        return found
    if found.stray.start - paragraph.start > FARTHEST:
        return Scan(found.pieces, "malformed")
    piece = _without_opening(text, paragraph.start, found.stray, index, first=True)
    if not text[piece.start : piece.end].strip():
        return Scan(found.pieces, found.rule)
    return Scan((piece, *found.pieces), found.rule or "unclosed")


def carried(paragraph: Paragraph, index: int, found: Scan) -> Piece:
    """What an open speech says in a paragraph that does not open its marks again: all of it, or what stands before the stray mark."""
    end, after = (found.stray.start, found.stray.end) if found.stray else (paragraph.end, paragraph.end)
    return Piece(paragraph.start, end, paragraph.start, after, index, found.stray is not None)


def cut_short(found: Scan, piece: Piece, end: int | None) -> Scan:
    """`found` with its last piece, which never closed, closed at `end` or where its paragraph ends."""
    last = replace(piece, closed=True) if end is None else replace(piece, end=end, after=end, closed=True)
    return Scan((*found.pieces[:-1], last), "malformed" if found.rule == "malformed" else "unclosed")
