"""Quotations: where speech stands in a text, as pieces that one voice may say with an interruption between them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from persona_exp.corpus.paragraphs import Paragraph, flow

Span = tuple[int, int]

# After these a following piece goes on with the sentence, and the comma was the interruption's, not the speaker's.
NO_COMMA_BEFORE = re.compile(
    r"(?:is|are|was|were|am|has|have|had|will|would|shall|should|can|could|may|might|must|do|does|did|of|to|that|than)\b"
)


@dataclass(frozen=True)
class Quote:
    """One utterance. `spans` are its pieces between the marks, `start` and `end` reach from the first to the last of them.

    `first` and `last` are the indices of the paragraphs it begins and ends in, `text` what is said, its pieces joined. `rule` names what
    decided the `speaker` (None: nobody did), with a confidence between 0 and 1.
    """

    chapter: int
    spans: tuple[Span, ...]
    first: int
    last: int
    text: str
    speaker: str | None = None
    rule: str = ""
    confidence: float = 0.0

    @property
    def start(self) -> int:
        """Where the first piece begins."""
        return self.spans[0][0]

    @property
    def end(self) -> int:
        """Where the last piece ends."""
        return self.spans[-1][1]


@dataclass(frozen=True)
class _Piece:
    start: int
    end: int
    paragraph: int
    closed: bool


def find_quotes(text: str, paragraphs: Sequence[Paragraph], chapter: int = 0) -> list[Quote]:
    """All quotations in double marks, straight or curly, in `paragraphs` of `text`: the pieces of a paragraph as one utterance, with the
    following paragraphs where the marks are only reopened in them.

    What stands in marks but is not said (a ship's name, a word held up) is left out. A paragraph whose marks do not pair gives quotes of
    the rule "malformed": nobody can tell there what is said.
    """
    per_paragraph = [_pieces(text, paragraph, index) for index, paragraph in enumerate(paragraphs)]
    quotes: list[Quote] = []
    index = 0
    while index < len(paragraphs):
        pieces, sound = per_paragraph[index]
        last = index
        while sound and pieces and not pieces[-1].closed:
            # The speech goes on in the next paragraph, if that opens its marks again.
            following, following_sound = per_paragraph[last + 1] if last + 1 < len(paragraphs) else ([], False)
            if not following or following[0].start - 1 != paragraphs[last + 1].start:
                sound = False
                break
            last, sound = last + 1, following_sound
            pieces = pieces + following
        spoken = pieces if not sound else _spoken(text, paragraphs, pieces)
        if spoken:
            spans = tuple((piece.start, piece.end) for piece in spoken)
            rule = "" if sound else "malformed"
            quotes.append(Quote(chapter, spans, spoken[0].paragraph, spoken[-1].paragraph, join(text, spans), rule=rule))
        index = last + 1
    return quotes


def _pieces(text: str, paragraph: Paragraph, index: int) -> tuple[list[_Piece], bool]:
    """The pieces between marks, and whether the marks pair (one left open at the end is allowed)."""
    pieces: list[_Piece] = []
    opened: int | None = None
    sound = True
    for match in re.compile('[“”"]').finditer(text, paragraph.start, paragraph.end):
        opens = match[0] == "“" or (match[0] == '"' and opened is None)
        if opens:
            sound = sound and opened is None
            opened = match.end()
        elif opened is None:
            sound = False
        else:
            pieces.append(_Piece(opened, match.start(), index, True))
            opened = None
        if match[0] == '"' and opens:
            # A straight mark that opens touches the word after it; where it does not, one was lost and the pairs are shifted.
            sound = sound and text[match.end() : match.end() + 1].strip() != ""
    if opened is not None:
        pieces.append(_Piece(opened, paragraph.end, index, False))
    return [piece for piece in pieces if text[piece.start : piece.end].strip()], sound


def _spoken(text: str, paragraphs: Sequence[Paragraph], pieces: list[_Piece]) -> list[_Piece]:
    spoken: list[_Piece] = []
    for piece in pieces:
        if not piece.closed or _is_speech(text, paragraphs[piece.paragraph], piece, after_speech=bool(spoken)):
            spoken.append(piece)
    return spoken


def _is_speech(text: str, paragraph: Paragraph, piece: _Piece, after_speech: bool) -> bool:
    """Speech opens its paragraph or ends on a mark of punctuation inside the marks; a name or a word held up does neither."""
    opens = piece.start - 1 == paragraph.start
    said = text[piece.start : piece.end].strip()
    if re.search(r"(?:[.,!?;:…—-]|--)[’')\]]*$", said):
        # "his “boat,” as he called it": no capital, and no speech before it that it could go on with.
        return after_speech or opens or not said.lstrip("‘'—-. ")[:1].islower()
    return opens and len(said.split()) > 3


def join(text: str, spans: Sequence[Span]) -> str:
    """What is said in `spans` as one text: interruptions taken out and the punctuation they caused put right.

    “Sound it, Pell,” said Wrexham. “Then steer.” → Sound it, Pell. Then steer. Paragraphs of a long speech stay paragraphs.
    """
    said = flow(text[spans[0][0] : spans[0][1]])
    for (_, before), (after, end) in pairwise(spans):
        piece, between = flow(text[after:end]), text[before:after]
        if re.fullmatch(r"\s*[“\"]?", between):
            said = f"{said}\n\n{piece}"
            continue
        narrated = between.strip('“”" \n\t')
        if said.endswith((",", ";")):
            if narrated.endswith((".", "!", "?")) and piece[:1].isupper():
                said = said[:-1] + "."
            elif narrated.endswith((";", ":")):
                # “That is our signal,” said Holmes; “it comes …”: the speaker's own mark stands behind the interruption.
                said = said[:-1] + narrated[-1]
            elif said.endswith(",") and NO_COMMA_BEFORE.match(piece):
                said = said[:-1]
        said = f"{said} {piece}"
    if said.endswith(","):
        said = said[:-1] + "."
    return said[:1].upper() + said[1:]


def part(quote: Quote, text: str, spans: tuple[Span, ...], paragraphs: tuple[int, int]) -> Quote:
    """`quote` cut down to some of its pieces, which begin and end in these `paragraphs`."""
    return replace(quote, spans=spans, first=paragraphs[0], last=paragraphs[1], text=join(text, spans))
