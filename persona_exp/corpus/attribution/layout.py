"""A text laid out in order: stretches of narration and pieces of quotations, paragraph by paragraph."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from persona_exp.corpus.attribution.lexicon import Lexicon
from persona_exp.corpus.attribution.narration import Sentence, read
from persona_exp.corpus.attribution.words import FEMALE_ADDRESS, MALE_ADDRESS, TITLES
from persona_exp.corpus.quotation.quotes import Quote
from persona_exp.corpus.reading.paragraphs import Paragraph

NOT_A_LINE = -1
OPENING, CLOSING = "“\"‘'«", "”\"’'»"
CAPITALISED = re.compile(r"[^\W\d_a-z][\w’'-]*\.?")
BEFORE_ADDRESS = re.compile(
    r"(?:^|[,.!?;:—“\"‘]|--|\b(?:[Oo]h|[Aa]h|[Yy]es|[Nn]o|[Dd]ear|[Dd]earest|[Mm]y|[Ww]ell|[Nn]ow|[Cc]ome))\s*(?:(?:Mr|Mrs|Dr)\.\s*|(?:Miss|Captain|Colonel|Inspector|Doctor|Major|Sergeant|Professor)\s+)?$"
)
SELF = re.compile(r"\b(?:I am|I['’]m|I m|[Mm]y name is|[Mm]y name['’]s)\s+$")
AFTER_ADDRESS = re.compile(r"\s*(?:[,.!?;:—”\"]|--|$)")
POLITE = re.compile(
    rf"(?:^|[,.!?;—]\s*|\bmy )(?:dear |good )?({'|'.join(sorted(MALE_ADDRESS | FEMALE_ADDRESS))})(?=\s*(?:[,.!?;—]|--|$))", re.IGNORECASE
)


@dataclass(slots=True)
class Line:
    """One quotation in its place. `lead` is the narration before it in its paragraph, `tails` that behind each of its pieces;
    x"""

    quote: Quote
    lead: list[Sentence] = field(default_factory=list)
    tails: list[list[Sentence]] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    runs_on: bool = False
    named: set[int] = field(default_factory=set)
    addressed: list[int] = field(default_factory=list)
    polite: str | None = None
    kin: str = ""
    introduces: int = NOT_A_LINE


@dataclass(slots=True)
class Block:
    """One paragraph: its narration in order (before, between and after quotations) and the lines that begin in it."""

    index: int
    scene: int
    narration: list[Sentence] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    speaks: bool = False
    leads_in: bool = False
    goes_on: bool = False


def lay_out(
    quotes: Sequence[Quote], text: str, paragraphs: Sequence[Paragraph], lexicon: Lexicon, hidden: Sequence[Quote] = ()
) -> tuple[list[Line], list[Block]]:
    """The lines of `quotes` (in their order) and the blocks of `paragraphs`; what stands in `hidden` quotations is nobody's narration."""
    lines = [Line(quote, tails=[[] for _ in quote.spans], ends=[_last_mark(text, end) for _, end in quote.spans]) for quote in quotes]
    blocks = [Block(index, paragraph.scene) for index, paragraph in enumerate(paragraphs)]
    pieces = sorted((start, end, number, part) for number, quote in enumerate(quotes) for part, (start, end) in enumerate(quote.spans))
    pieces = sorted(pieces + [(start, end, NOT_A_LINE, 0) for quote in hidden for start, end in quote.spans])
    begun: set[int] = set()
    at = 0
    left_open = False
    for block, paragraph in zip(blocks, paragraphs, strict=True):
        place = paragraph.start
        before: tuple[int, int] | None = None
        while at < len(pieces) and pieces[at][0] < paragraph.end:
            start, end, number, part = pieces[at]
            if start > place:
                _narrate(
                    read(text, place, start, lexicon),
                    block,
                    lines,
                    before,
                    number if number not in begun and number != NOT_A_LINE else None,
                )
            if number not in begun and number != NOT_A_LINE:
                begun.add(number)
                block.lines.append(number)
            block.speaks = True
            before = (number, part) if number != NOT_A_LINE else None
            place = max(place, end)
            at += 1
        if place < paragraph.end:
            _narrate(read(text, place, paragraph.end, lexicon), block, lines, before, None)
        block.goes_on = left_open and text[paragraph.start] in '“"'
        left_open = _left_open(text, paragraph)
        ending = text[max(paragraph.start, paragraph.end - 3) : paragraph.end].rstrip("_ ")
        block.leads_in = place < paragraph.end and ending.endswith((":", "—", "--", ","))
        block.speaks = block.speaks or place > paragraph.end
    _hear(lines, blocks, text, lexicon)
    return lines, blocks


def _left_open(text: str, paragraph: Paragraph) -> bool:
    """Whether the paragraph's last double mark opens: its speech goes on in the next one."""
    opened = text.count("“", paragraph.start, paragraph.end) - text.count("”", paragraph.start, paragraph.end)
    return opened > 0 or text.count('"', paragraph.start, paragraph.end) % 2 == 1


def _narrate(sentences: list[Sentence], block: Block, lines: list[Line], before: tuple[int, int] | None, after: int | None) -> None:
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


def _hear(lines: Sequence[Line], blocks: Sequence[Block], text: str, lexicon: Lexicon) -> None:
    """What the words of each line tell: who is named and addressed, and whether its marks stay open."""
    marked = _are_marked(lines, text)
    before: Line | None = None
    for line in sorted(lines, key=lambda one: one.quote.start):
        if before is not None and marked:
            line.runs_on = _runs_on(before, line, blocks, text)
        before = line
        for start, stop in line.quote.spans:
            _names_in(line, text[start:stop], lexicon)


def _runs_on(before: Line, line: Line, blocks: Sequence[Block], text: str) -> bool:
    """Whether `line` goes on with an utterance whose marks were left open at `before`."""
    if line.quote.first == before.quote.last:
        return not any(sign in CLOSING for sign in text[before.quote.end - 1 : before.quote.end + 3])
    return all(blocks[index].goes_on for index in range(before.quote.last + 1, line.quote.first + 1))


def _are_marked(lines: Sequence[Line], text: str) -> bool:
    """Whether most quotations stand behind a mark, not behind a dash or none."""
    return sum(text[line.quote.start - 1 : line.quote.start] in OPENING for line in lines if line.quote.start) * 2 > len(lines)


def _names_in(line: Line, said: str, lexicon: Lexicon) -> None:
    polite = POLITE.search(said)
    if polite:
        line.polite = "male" if polite[1].lower() in MALE_ADDRESS else "female"
        line.kin = polite[1].lower()
    upto = 0
    for match in CAPITALISED.finditer(said):
        if match.start() < upto:
            continue
        low = match[0].rstrip(".").lower()
        if low not in lexicon.by_first:
            continue
        words = said[match.start() : match.start() + 60].split()
        bare = [word.strip(",.!?;:—-”\"’'_()") for word in words]
        lows = [word.lower() for word in bare]
        for form in lexicon.by_first[low]:
            length = len(form.tokens)
            if length == 1 and low in TITLES and len(bare) > 1 and bare[1][:1].isupper() and bare[0] == words[0].rstrip("."):
                continue
            if not form.common and tuple(lows[:length]) == form.tokens:
                upto = (
                    match.start() + sum(len(word) + 1 for word in words[: length - 1]) + len(words[length - 1].rstrip(",.!?;:—-”\"’'_()"))
                )
                before = said[max(0, match.start() - 16) : match.start()]
                if SELF.search(before) and len(form.people) == 1 and said[upto : upto + 2] not in ("'s", "’s"):
                    line.introduces = form.people[0]
                    break
                line.named.update(form.people if len(form.people) == 1 else ())
                if BEFORE_ADDRESS.search(before) and AFTER_ADDRESS.match(said, upto):
                    line.addressed += [person for person in form.people if person not in line.addressed]
                break
