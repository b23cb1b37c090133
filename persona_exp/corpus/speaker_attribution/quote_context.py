"""A text laid out in order: stretches of narration and pieces of quotations, paragraph by paragraph."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from persona_exp.corpus.cast.character import NOBODY
from persona_exp.corpus.cast.name_forms import NameForms
from persona_exp.corpus.quotation.quotes import Quote
from persona_exp.corpus.reading.paragraphs_and_scenes import Paragraph
from persona_exp.corpus.speaker_attribution.narration_parser import Sentence, parse_narration

NOT_A_LINE = -1
OPENING, CLOSING = "“\"‘'«", "”\"’'»"


@dataclass(slots=True)
class DialogueLine:
    """One quotation in its place. `lead` is the narration before it in its paragraph, `tails` that behind each of its pieces, `ends` the
    last mark of punctuation of each; `runs_on` where it goes on with the line before it. Its own words have `named` and `addressed` people
    (indices into the cast), are `polite` to a man or a woman by the word `kin` ("sir", "papa"), and introduce one as the speaker."""

    quote: Quote
    lead: list[Sentence] = field(default_factory=list)
    tails: list[list[Sentence]] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    runs_on: bool = False
    named: set[int] = field(default_factory=set)
    addressed: list[int] = field(default_factory=list)
    polite: str | None = None
    kin: str = ""
    introduces: int = NOBODY


@dataclass(slots=True)
class NarratedParagraph:
    """One paragraph: its narration in order (before, between and after quotations) and the lines that begin in it."""

    index: int
    scene: int
    narration: list[Sentence] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    speaks: bool = False
    leads_in: bool = False
    goes_on: bool = False


def lay_out(
    quotes: Sequence[Quote], text: str, paragraphs: Sequence[Paragraph], forms: NameForms, hidden: Sequence[Quote] = ()
) -> tuple[list[DialogueLine], list[NarratedParagraph]]:
    """Return the lines of `quotes` (in their order) and the `paragraphs` with their narration, of which `hidden` quotations are no part."""
    lines = [
        DialogueLine(quote, tails=[[] for _ in quote.spans], ends=[_last_mark(text, end) for _, end in quote.spans]) for quote in quotes
    ]
    blocks = [NarratedParagraph(index, paragraph.scene) for index, paragraph in enumerate(paragraphs)]
    pieces = [(start, end, number, part) for number, quote in enumerate(quotes) for part, (start, end) in enumerate(quote.spans)]
    pieces = sorted(pieces + [(start, end, NOT_A_LINE, 0) for quote in hidden for start, end in quote.spans])
    begun: set[int] = set()
    at = 0
    left_open = False
    for block, paragraph in zip(blocks, paragraphs, strict=True):
        place = paragraph.start
        before: tuple[int, int] | None = None
        while at < len(pieces) and pieces[at][0] < paragraph.end:
            start, end, number, part = pieces[at]
            begins = number not in begun and number != NOT_A_LINE
            if start > place:
                _narrate(parse_narration(text, place, start, forms), block, lines, before, number if begins else None)
            if begins:
                begun.add(number)
                block.lines.append(number)
            block.speaks = True
            before = (number, part) if number != NOT_A_LINE else None
            place = max(place, end)
            at += 1
        if place < paragraph.end:
            _narrate(parse_narration(text, place, paragraph.end, forms), block, lines, before, None)
        block.goes_on = left_open and text[paragraph.start] in '“"'
        left_open = _left_open(text, paragraph)
        ending = text[max(paragraph.start, paragraph.end - 3) : paragraph.end].rstrip("_ ")
        block.leads_in = place < paragraph.end and ending.endswith((":", "—", "--", ","))
        block.speaks = block.speaks or place > paragraph.end
    _find_run_ons(lines, blocks, text)
    return lines, blocks


def _left_open(text: str, paragraph: Paragraph) -> bool:
    """Return whether the paragraph's last double mark opens: its speech goes on in the next one."""
    opened = text.count("“", paragraph.start, paragraph.end) - text.count("”", paragraph.start, paragraph.end)
    return opened > 0 or text.count('"', paragraph.start, paragraph.end) % 2 == 1


def _narrate(
    sentences: list[Sentence], block: NarratedParagraph, lines: list[DialogueLine], before: tuple[int, int] | None, after: int | None
) -> None:
    block.narration += sentences
    if before is not None:
        lines[before[0]].tails[before[1]] = sentences
    if after is not None:
        lines[after].lead = sentences


def _last_mark(text: str, end: int) -> str:
    place = end - 1
    while place > 0 and (text[place].isspace() or text[place] in CLOSING or text[place] == "_"):
        place -= 1
    return text[place]


def _find_run_ons(lines: Sequence[DialogueLine], blocks: Sequence[NarratedParagraph], text: str) -> None:
    """Set in each line whether it goes on with an utterance whose marks were left open."""
    if _are_marked(lines, text):
        for before, line in pairwise(sorted(lines, key=lambda one: one.quote.start)):
            line.runs_on = _runs_on(before, line, blocks, text)


def _runs_on(before: DialogueLine, line: DialogueLine, blocks: Sequence[NarratedParagraph], text: str) -> bool:
    """Return whether `line` goes on with an utterance whose marks were left open at `before`."""
    if line.quote.first == before.quote.last:
        return not any(sign in CLOSING for sign in text[before.quote.end - 1 : before.quote.end + 3])
    return all(blocks[index].goes_on for index in range(before.quote.last + 1, line.quote.first + 1))


def _are_marked(lines: Sequence[DialogueLine], text: str) -> bool:
    """Return whether most quotations stand behind a mark, not behind a dash or none."""
    return sum(text[line.quote.start - 1 : line.quote.start] in OPENING for line in lines if line.quote.start) * 2 > len(lines)
