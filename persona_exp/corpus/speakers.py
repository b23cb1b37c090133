"""Who speaks: each quotation gets the likeliest of the people at hand, with the rule that told and how far to trust it."""

from collections.abc import Sequence
from dataclasses import replace

from persona_exp.corpus.attribution.attributor import Attributor
from persona_exp.corpus.attribution.decode import NOBODY
from persona_exp.corpus.attribution.evidence import CUES
from persona_exp.corpus.attribution.narration import NARRATOR_I, OUTSIDER
from persona_exp.corpus.attribution.narrator import MIN_SHARE
from persona_exp.corpus.attribution.utterance import paragraph_of, parted
from persona_exp.corpus.attribution.verdict import DEFAULT_CONFIDENCE, verdicts
from persona_exp.corpus.cast.character import NARRATOR, Character
from persona_exp.corpus.quotation.quotes import Quote
from persona_exp.corpus.reading.paragraphs import Paragraph

__all__ = ["DEFAULT_CONFIDENCE", "NARRATOR", "Character", "attribute", "attribute_book", "paragraph_of"]


def attribute(
    quotes: Sequence[Quote], text: str, paragraphs: Sequence[Paragraph], cast: Sequence[Character], split: bool = True
) -> list[Quote]:
    """`quotes` of a chapter or a whole book, in their order, with their speakers; `first` and `last` of each index `paragraphs`.

    A speaker in `cast` is called by the cast's name, whichever alias the text uses; another one whom a cue names, as the text names him;
    "I" is the cast's narrator, else the one found to be it, else `NARRATOR`. `speaker` is None where nothing tells, and for quotes of the
    rule "malformed", which are handed back as they are. With `split`, an utterance whose pieces a cue gives to two speakers is cut between
    them; without, there is one quote for each given one.
    """
    sound = [quote for quote in quotes if quote.rule != "malformed"]
    broken = [quote for quote in quotes if quote.rule == "malformed"]
    attributor = Attributor(sound, text, paragraphs, cast, hidden=broken)
    whole = _completed(attributor, cast)
    parts = [[quote] for quote in sound]
    if split:
        parts = [parted(line, clues, text, paragraphs) for line, clues in zip(attributor.lines, attributor.clues, strict=True)]
    pieces = [piece for pieces in parts for piece in pieces]
    if len(pieces) > len(sound) or len(whole) > len(cast):
        attributor = Attributor(pieces, text, paragraphs, whole, hidden=broken)
    decided = []
    for quote, (person, rule, confidence) in zip(pieces, verdicts(attributor, attributor.run()), strict=True):
        speaker = None if person == NOBODY else whole[person].name
        decided.append(replace(quote, speaker=speaker, rule=rule, confidence=confidence))
    rest = iter(decided)
    counts = iter(parts)
    found: list[Quote] = []
    for quote in quotes:
        found += [quote] if quote.rule == "malformed" else [next(rest) for _ in next(counts)]
    return found


def attribute_book(
    chapters: Sequence[tuple[Sequence[Quote], Sequence[Paragraph]]], text: str, cast: Sequence[Character], split: bool = True
) -> list[list[Quote]]:
    """As `attribute`, for all chapters of a book at once, so that what one chapter tells serves the others; a list for each chapter."""
    quotes: list[Quote] = []
    paragraphs: list[Paragraph] = []
    starts: list[int] = []
    scene = 0
    for own, theirs in chapters:
        offset = len(paragraphs)
        starts.append(offset)
        quotes += [replace(quote, first=quote.first + offset, last=quote.last + offset) for quote in own]
        paragraphs += [replace(paragraph, scene=paragraph.scene + scene) for paragraph in theirs]
        scene = paragraphs[-1].scene + 1 if paragraphs else 0
    found: list[list[Quote]] = [[] for _ in chapters]
    number = 0
    for quote in attribute(quotes, text, paragraphs, cast, split):
        while number + 1 < len(starts) and quote.first >= starts[number + 1]:
            number += 1
        found[number].append(replace(quote, first=quote.first - starts[number], last=quote.last - starts[number]))
    return found


def _completed(attributor: Attributor, cast: Sequence[Character]) -> tuple[Character, ...]:
    """The cast with those added whom cues name and it lacks, and with its narrator marked."""
    people = [replace(character, narrator=index == attributor.book.narrator) for index, character in enumerate(cast)]
    known = {character.name for character in cast}
    cues = [clue for clues in attributor.clues for clue in clues if clue.rule in CUES]
    says_i = sum(clue.mention.kind == NARRATOR_I for clue in cues)
    if attributor.book.narrator == NOBODY and says_i and says_i >= MIN_SHARE * len(attributor.lines) and NARRATOR not in known:
        people.append(Character(NARRATOR, narrator=True))
    for clue in cues:
        name = clue.mention.words if clue.mention.kind == OUTSIDER else ""
        # "said Hallam" is a person; what else has a capital and stands before a verb of saying may be a place or an opening word.
        if name and name not in known and (clue.rule == "verb-subject" or " " in name):
            known.add(name)
            people.append(Character(name, gender=clue.mention.gender))
    return tuple(people)
