"""Quotations: where speech stands in a text, as pieces that one voice may say with an interruption between them."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from persona_exp.corpus.quotation.dashes import dash_spans
from persona_exp.corpus.quotation.marks import find_style
from persona_exp.corpus.quotation.pieces import Piece, Scan, carried, cut_short, recovered, scan
from persona_exp.corpus.quotation.spoken import is_speech, lost_end, trailing_cue
from persona_exp.corpus.reading.paragraphs import Paragraph, flow

Span = tuple[int, int]

# So many paragraphs of a letter or of verse may stand in a speech whose marks are not opened again in each.
REACH = 12
INNER_IS_DOUBLE = ("‘", "'", "`", "«")
# A comma that belongs to the sentence around the speech: ‘I see’, he said.
LOGICAL = re.compile("[’'”\"»],")
MARKS = "“”„\"‘’'`«»"

# After these a following piece goes on with the sentence, and the comma was the interruption's, not the speaker's.
NO_COMMA_BEFORE = re.compile(
    r"(?:is|are|was|were|am|has|have|had|will|would|shall|should|can|could|may|might|must|do|does|did|of|to|that|than)\b"
)


@dataclass(frozen=True)
class Quote:
    """One utterance. `spans` are its pieces between the marks, `start` and `end` reach from the first to the last of them.

    `first` and `last` are the indices of the paragraphs it begins and ends in, `text` what is said, its pieces joined. `rule` names what
    decided the `speaker` (None: nobody did), with a confidence between 0 and 1. `depth` is 1 for what is quoted within a quotation.
    """

    chapter: int
    spans: tuple[Span, ...]
    first: int
    last: int
    text: str
    speaker: str | None = None
    rule: str = ""
    confidence: float = 0.0
    depth: int = 0

    @property
    def start(self) -> int:
        """Where the first piece begins."""
        return self.spans[0][0]

    @property
    def end(self) -> int:
        """Where the last piece ends."""
        return self.spans[-1][1]


def find_quotes(text: str, paragraphs: Sequence[Paragraph], chapter: int = 0, style: str | None = None) -> list[Quote]:
    """All quotations in `paragraphs` of `text`: the pieces of a paragraph as one utterance, with the following paragraphs where the marks
    are only reopened in them. `style`: which marks (`marks.STYLES`); None: those that the paragraphs show.

    Quotations within a quotation stay in it (`find_nested` gets them). What stands in marks but is not said (a ship's name, a word held
    up) is left out. Where a mark is missing, the quote has the rule "unclosed" if words tell where it was, else "malformed": nobody can
    tell there what is said.
    """
    style = style or find_style(text, paragraphs)
    if style == "dash":
        return _after_dashes(text, paragraphs, chapter)
    scans = [scan(text, paragraph, index, style) for index, paragraph in enumerate(paragraphs)]
    quotes: list[Quote] = []
    index = 0
    while index < len(paragraphs):
        pieces, rule, last = _utterance(text, paragraphs, scans, index)
        pieces = [piece for piece in pieces if text[piece.start : piece.end].strip()]
        spoken = pieces if rule == "malformed" else _spoken(text, paragraphs, pieces)
        if spoken:
            spans = tuple((piece.start, piece.end) for piece in spoken)
            quotes.append(Quote(chapter, spans, spoken[0].paragraph, spoken[-1].paragraph, join(text, spans), rule=rule))
        index = last + 1
    return quotes


def find_all_quotes(text: str, chapters: Sequence[Sequence[Paragraph]]) -> list[list[Quote]]:
    """The quotations of each chapter, given by its paragraphs; `chapter` counts from 1. A chapter that shows too little of its marks has
    the book's."""
    style = find_style(text, [paragraph for paragraphs in chapters for paragraph in paragraphs])
    return [find_quotes(text, own, number, find_style(text, own, style)) for number, own in enumerate(chapters, start=1)]


def _utterance(text: str, paragraphs: Sequence[Paragraph], scans: list[Scan], index: int) -> tuple[list[Piece], str, int]:
    """What is said from paragraph `index` on, the rule, and the last paragraph that it reaches."""
    found = recovered(text, paragraphs[index], index, scans[index])
    pieces, last, rules = list(found.pieces), index, [found.rule]
    while pieces and not pieces[-1].closed:
        reach = _continuation(text, paragraphs, scans, pieces, last)
        if reach is None:
            open_piece = pieces[-1]
            end = lost_end(text, open_piece.start, open_piece.end) if last == index else None
            cut = cut_short(found, open_piece, end)
            return [*pieces[:-1], cut.pieces[-1]], _rule([*rules, cut.rule]), last
        pieces += [carried(paragraphs[between], between, scans[between]) for between in range(last + 1, reach)]
        last, found = reach, scans[reach]
        if not found.opens(paragraphs[reach]):
            pieces.append(carried(paragraphs[reach], reach, found))
        pieces += found.pieces
        rules.append(found.rule)
    return pieces, _rule(rules), last


def _rule(rules: Sequence[str]) -> str:
    """The rule of an utterance from those of its paragraphs: a long story is not lost for one mark in the middle of it."""
    if 4 * rules.count("malformed") >= len(rules):
        return "malformed"
    return "unclosed" if any(rules) else ""


def _continuation(text: str, paragraphs: Sequence[Paragraph], scans: list[Scan], pieces: Sequence[Piece], last: int) -> int | None:
    """The paragraph in which the speech that is open at the end of paragraph `last` goes on: the next one if it opens the marks again, or
    a near one that closes them, when a letter or verse stands between. None: its closing mark was lost."""
    for ahead in range(last + 1, min(last + 1 + REACH, len(paragraphs))):
        if paragraphs[ahead].scene != paragraphs[last].scene:
            return None
        if scans[ahead].opens(paragraphs[ahead]) and scans[ahead].stray is None:
            if ahead > last + 1:
                return None
            alone = len(pieces) == 1 and not scans[ahead].goes_on
            return None if alone and trailing_cue(text, pieces[-1].start, pieces[-1].end) else ahead
        if scans[ahead].stray is not None:
            return ahead
        if scans[ahead].pieces:
            return None
    return None


def _spoken(text: str, paragraphs: Sequence[Paragraph], pieces: list[Piece]) -> list[Piece]:
    spoken: list[Piece] = []
    for piece in pieces:
        paragraph = paragraphs[piece.paragraph]
        where = (paragraph.start, paragraph.end)
        if not piece.closed or is_speech(text, piece.start, piece.end, where, piece.mark, piece.after, later=bool(spoken)):
            spoken.append(piece)
    return spoken


def _after_dashes(text: str, paragraphs: Sequence[Paragraph], chapter: int) -> list[Quote]:
    quotes = []
    for index, paragraph in enumerate(paragraphs):
        spans = tuple(dash_spans(text, paragraph.start, paragraph.end))
        if spans:
            quotes.append(Quote(chapter, spans, index, index, join(text, spans)))
    return quotes


def find_nested(text: str, quote: Quote, paragraphs: Sequence[Paragraph]) -> list[Quote]:
    """The quotations within `quote`, of depth 1: what a story-teller says that others said, or what is read out."""
    outer = text[quote.start - 1 : quote.start]
    style = "double" if outer in INNER_IS_DOUBLE else "single"
    starts = [paragraph.start for paragraph in paragraphs]
    within = [Paragraph(start, end, 0) for start, end in quote.spans]
    where = [bisect_right(starts, start) - 1 for start, _ in quote.spans]
    inner = find_quotes(text, within, quote.chapter, style)
    return [replace(one, first=where[one.first], last=where[one.last], depth=quote.depth + 1) for one in inner]


def join(text: str, spans: Sequence[Span]) -> str:
    """What is said in `spans` as one text: interruptions taken out and the punctuation they caused put right.

    “Sound it, Pell,” said Wrexham. “Then steer.” → Sound it, Pell. Then steer. Paragraphs of a long speech stay paragraphs.
    """
    said = [flow(text[spans[0][0] : spans[0][1]])]
    for (_, before), (after, end) in pairwise(spans):
        piece, between = flow(text[after:end]), text[before:after]
        if "\n" in between and not between.strip(MARKS + " \n\t"):
            said += ["\n\n", piece]
            continue
        said[-1] = _mended(said[-1], between.strip(MARKS + " \n\t"), piece)
        said += [" ", piece]
    if said[-1].endswith(",") or (said[-1][-1:].isalnum() and LOGICAL.match(text, spans[-1][1])):
        said[-1] = said[-1].removesuffix(",") + "."
    whole = "".join(said)
    return whole[:1].upper() + whole[1:]


def _mended(said: str, narrated: str, piece: str) -> str:
    """`said`, which is interrupted by what is `narrated` and goes on in `piece`, with its own mark of punctuation."""
    if said[-1:].isalnum() and narrated.startswith((",", ".")):
        # ‘I see’, he said. ‘Go.’: marks that stand inside the punctuation.
        said, narrated = said + ",", narrated[1:]
    if not said.endswith((",", ";")):
        return said
    if narrated.endswith((".", "!", "?")) and piece[:1].isupper():
        return said[:-1] + "."
    if narrated.endswith((";", ":")):
        # “That is our signal,” said Holmes; “it comes …”: the speaker's own mark stands behind the interruption.
        return said[:-1] + narrated[-1]
    return said[:-1] if said.endswith(",") and NO_COMMA_BEFORE.match(piece) else said


def part(quote: Quote, text: str, spans: tuple[Span, ...], paragraphs: tuple[int, int]) -> Quote:
    """`quote` cut down to some of its pieces, which begin and end in these `paragraphs`."""
    return replace(quote, spans=spans, first=paragraphs[0], last=paragraphs[1], text=join(text, spans))
