"""A passage as sentences, with what is between quotation marks kept apart from the narration."""

import re
from dataclasses import dataclass

# Stands for each character of a quotation, so that offsets stay; the last one says whether the quotation ended a sentence.
INSIDE, ENDED = "\ue000", "\ue001"
QUOTED = re.compile(r'"[^"]*"')
# How far to search for the name and the verb of a "Mr. Holmes cried", in characters.
TAG_LENGTH = 60
# No sentence of a book is longer, in characters: what is, is a list or a broken file, and is left alone.
LONGEST = 3000
ABBREVIATION = re.compile(r"(?:^|[\s(])(?:Mr|Mrs|Ms|Messrs|Dr|St|Capt|Col|Lieut|Sergt|Rev|Prof|Hon|No|Esq|vol|[A-HJ-Z])\.$")
END = re.compile(rf"(?:[.!?]+[)\]']*|{ENDED})(?=\s)")
# British books may put speech into single marks, which cannot be told from apostrophes: such passages are left alone.
SINGLE_QUOTES = re.compile(r"(?:^|[\s—(])'[A-Z][^'\n]*[,.!?]'(?=\s|$)", re.MULTILINE)


# Two sentences with no more than a dash between them, as older printers set them: whom a pronoun means is lost on the way.
JAMMED = re.compile(r"[.!?]—")


@dataclass(frozen=True)
class Sentence:
    """`text` unchanged; `masked` the same with quotations blotted out; `paragraph` counted from 0.

    `whole`: the paragraph's quotation marks pair, so that what is outside them is narration, and it is one sentence to its end.
    """

    text: str
    masked: str
    paragraph: int
    whole: bool

    @property
    def quotes(self) -> list[str]:
        """What is between quotation marks, without them."""
        return [match[0][1:-1] for match in QUOTED.finditer(self.text)]

    @property
    def quoted(self) -> bool:
        """Whether there is a quotation in it."""
        return '"' in self.text


def split_sentences(masked: str) -> list[tuple[int, int]]:
    """Return start and end of each sentence of one paragraph with single blanks.

    A quotation and its "said he" stay together; "Mr. Pell" does not end one.
    """
    spans: list[tuple[int, int]] = []
    start = 0
    for match in END.finditer(masked):
        end = match.end()
        following = end + 1
        rest = masked[following : following + TAG_LENGTH]
        if ABBREVIATION.search(masked[max(start, end - TAG_LENGTH) : end]) or rest[:1].islower():
            continue
        if match[0] == ENDED and re.match(r"(?:[A-Z][\w.]*\s){1,3}(?:[a-z]+ly\s)?(?:said|cried|asked|[a-z]+ed)\b", rest):
            continue
        spans.append((start, end))
        start = following
    if masked[start:].strip():
        spans.append((start, len(masked)))
    return spans


def mask(text: str) -> str:
    """Return `text` with each quotation blotted out, character by character."""

    def blot(match: re.Match[str]) -> str:
        ended = re.search(r"[.!?]['—]?\"$", match[0]) is not None
        return INSIDE * (len(match[0]) - 1) + (ENDED if ended else INSIDE)

    return QUOTED.sub(blot, text)


def split_passage(passage: str) -> list[Sentence]:
    """Return the sentences of a passage in normalised prose, paragraph by paragraph."""
    found: list[Sentence] = []
    doubtful = SINGLE_QUOTES.search(passage) is not None
    for number, paragraph in enumerate(passage.split("\n\n")):
        text = " ".join(paragraph.split())
        if not text:
            continue
        if doubtful or text.count('"') % 2 or INSIDE in text or ENDED in text:
            found.append(Sentence(text, text, number, whole=False))
            continue
        masked = mask(text)
        for start, end in split_sentences(masked):
            own = masked[start:end]
            whole = len(own) <= LONGEST and not JAMMED.search(own) and not ABBREVIATION.search(own)
            found.append(Sentence(text[start:end], own, number, whole))
    return found
