"""Quotations: where speech stands in a text, as pieces that one voice may say with an interruption between them."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from persona_exp.corpus.quotation.dash_dialogue import dash_spans
from persona_exp.corpus.quotation.mark_pairing import (
    ParagraphSpeech,
    SpeechPiece,
    continued_piece,
    lost_end,
    pair_marks,
    trailing_cue,
    with_lost_closing,
    with_lost_opening,
)
from persona_exp.corpus.quotation.quotation_marks import find_style
from persona_exp.corpus.quotation.scare_quotes import is_speech
from persona_exp.corpus.reading.paragraphs_and_scenes import Paragraph, on_one_line

Span = tuple[int, int]

# So many paragraphs of a letter or of verse may stand in a speech whose marks are not opened again in each.
REACH = 12
INNER_IS_DOUBLE = ("‘", "'", "`", "«")
# A comma that belongs to the sentence around the speech: ‘I see’, he said.
LOGICAL = re.compile("[’'”\"»],")
QUOTE_MARKS = "“”„\"‘’'`«»"

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
    """Return all quotations in `paragraphs` of `text`: the pieces of a paragraph as one utterance, with the following paragraphs where the
    marks are only reopened in them. `style`: which marks (`quotation_marks.STYLES`); None: those that the paragraphs show.

    Quotations within a quotation stay in it (`find_nested` gets them). What stands in marks but is not said (a ship's name, a word held
    up) is left out. Where a mark is missing, the quote has the rule "unclosed" if words tell where it was, else "malformed": nobody can
    tell there what is said.
    """
    style = style or find_style(text, paragraphs)
    if style == "dash":
        return _after_dashes(text, paragraphs, chapter)
    scans = [pair_marks(text, paragraph, index, style) for index, paragraph in enumerate(paragraphs)]
    quotes: list[Quote] = []
    index = 0
    while index < len(paragraphs):
        pieces, rule, last = _utterance(text, paragraphs, scans, index)
        pieces = [piece for piece in pieces if text[piece.start : piece.end].strip()]
        spoken = pieces if rule == "malformed" else _spoken(text, paragraphs, pieces)
        if spoken:
            spans = tuple((piece.start, piece.end) for piece in spoken)
            quotes.append(Quote(chapter, spans, spoken[0].paragraph, spoken[-1].paragraph, join_spans(text, spans), rule=rule))
        index = last + 1
    return quotes


def find_all_quotes(text: str, chapters: Sequence[Sequence[Paragraph]]) -> list[list[Quote]]:
    """Return the quotations of each chapter (from 1), given by its paragraphs. One that shows too little of its marks has the book's."""
    style = find_style(text, [paragraph for paragraphs in chapters for paragraph in paragraphs])
    return [find_quotes(text, own, number, find_style(text, own, style)) for number, own in enumerate(chapters, start=1)]


def _utterance(text: str, paragraphs: Sequence[Paragraph], scans: list[ParagraphSpeech], index: int) -> tuple[list[SpeechPiece], str, int]:
    """Return what is said from paragraph `index` on, the rule, and the last paragraph that it reaches."""
    found = with_lost_opening(text, paragraphs[index], index, scans[index])
    pieces, last, rules = list(found.pieces), index, [found.rule]
    while pieces and not pieces[-1].closed:
        reach = _continuation(text, paragraphs, scans, pieces, last)
        if reach is None:
            open_piece = pieces[-1]
            end = lost_end(text, open_piece.start, open_piece.end) if last == index else None
            cut = with_lost_closing(found, open_piece, end)
            return [*pieces[:-1], cut.pieces[-1]], _rule([*rules, cut.rule]), last
        pieces += [continued_piece(paragraphs[between], between, scans[between]) for between in range(last + 1, reach)]
        last, found = reach, scans[reach]
        if not found.opens(paragraphs[reach]):
            pieces.append(continued_piece(paragraphs[reach], reach, found))
        pieces += found.pieces
        rules.append(found.rule)
    return pieces, _rule(rules), last


def _rule(rules: Sequence[str]) -> str:
    """Return the rule of an utterance from those of its paragraphs: a long story is not lost for one mark in the middle of it."""
    if 4 * rules.count("malformed") >= len(rules):
        return "malformed"
    return "unclosed" if any(rules) else ""


def _continuation(
    text: str, paragraphs: Sequence[Paragraph], scans: list[ParagraphSpeech], pieces: Sequence[SpeechPiece], last: int
) -> int | None:
    """Return the paragraph in which the speech that is open at the end of paragraph `last` goes on: the next one if it opens the marks
    again, or a near one that closes them, when a letter or verse stands between. None: its closing mark was lost."""
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


def _spoken(text: str, paragraphs: Sequence[Paragraph], pieces: list[SpeechPiece]) -> list[SpeechPiece]:
    spoken: list[SpeechPiece] = []
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
            quotes.append(Quote(chapter, spans, index, index, join_spans(text, spans)))
    return quotes


def find_nested(text: str, quote: Quote, paragraphs: Sequence[Paragraph]) -> list[Quote]:
    """Return the quotations within `quote`, of depth 1: what a story-teller says that others said, or what is read out."""
    outer = text[quote.start - 1 : quote.start]
    style = "double" if outer in INNER_IS_DOUBLE else "single"
    starts = [paragraph.start for paragraph in paragraphs]
    within = [Paragraph(start, end, 0) for start, end in quote.spans]
    where = [bisect_right(starts, start) - 1 for start, _ in quote.spans]
    inner = find_quotes(text, within, quote.chapter, style)
    return [replace(one, first=where[one.first], last=where[one.last], depth=quote.depth + 1) for one in inner]


def join_spans(text: str, spans: Sequence[Span]) -> str:
    """Return what is said in `spans` as one text: interruptions taken out and the punctuation they caused put right.

    “Sound it, Pell,” said Wrexham. “Then steer.” → Sound it, Pell. Then steer. Paragraphs of a long speech stay paragraphs.
    """
    said = [on_one_line(text[spans[0][0] : spans[0][1]])]
    for (_, before), (after, end) in pairwise(spans):
        piece, between = on_one_line(text[after:end]), text[before:after]
        if "\n" in between and not between.strip(QUOTE_MARKS + " \n\t"):
            said += ["\n\n", piece]
            continue
        said[-1] = _mended(said[-1], between.strip(QUOTE_MARKS + " \n\t"), piece)
        said += [" ", piece]
    if said[-1].endswith(",") or (said[-1][-1:].isalnum() and LOGICAL.match(text, spans[-1][1])):
        said[-1] = said[-1].removesuffix(",") + "."
    whole = "".join(said)
    return whole[:1].upper() + whole[1:]


def _mended(said: str, narrated: str, piece: str) -> str:
    """Return `said`, which is interrupted by what is `narrated` and goes on in `piece`, with its own mark of punctuation."""
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


def cut_to_spans(quote: Quote, text: str, spans: tuple[Span, ...], paragraphs: Sequence[Paragraph]) -> Quote:
    """Return `quote` cut down to some of its pieces; its indices into `paragraphs` follow."""
    first, last = (
        next(index for index in range(quote.first, quote.last + 1) if place <= paragraphs[index].end)
        for place in (spans[0][0], spans[-1][0])
    )
    return replace(quote, spans=spans, first=first, last=last, text=join_spans(text, spans))
