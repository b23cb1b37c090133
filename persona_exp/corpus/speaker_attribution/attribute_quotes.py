"""Who speaks: each quotation gets the likeliest of the people at hand, with the rule that decided and the confidence."""

from collections.abc import Sequence
from dataclasses import replace

from persona_exp.corpus.cast.character import NARRATOR, NOBODY, Character
from persona_exp.corpus.quotation.quotes import Quote
from persona_exp.corpus.reading.paragraphs_and_scenes import Paragraph
from persona_exp.corpus.speaker_attribution.attribution_confidence import decide_speakers
from persona_exp.corpus.speaker_attribution.narration_parser import NARRATOR_I, OUTSIDER
from persona_exp.corpus.speaker_attribution.narrator_from_cues import MIN_SHARE
from persona_exp.corpus.speaker_attribution.speaker_clues import CUES
from persona_exp.corpus.speaker_attribution.speaker_probabilities import Attributor
from persona_exp.corpus.speaker_attribution.utterance_splitting import split_utterance


def attribute_quotes(
    quotes: Sequence[Quote], text: str, paragraphs: Sequence[Paragraph], cast: Sequence[Character], split: bool = True
) -> list[Quote]:
    """Return `quotes` of a chapter or a whole book, in their order, with their speakers; `first` and `last` of each index `paragraphs`.

    A speaker in `cast` is called by the cast's name, whichever alias the text uses; another one whom a cue names, as the text names him;
    "I" is the cast's narrator, else the one found to be it, else `NARRATOR`. `speaker` is None where nothing tells, and for quotes of the
    rule "malformed", which are returned unchanged. With `split`, an utterance whose pieces a cue gives to two speakers is cut between
    them; without, there is one quote for each given one.
    """
    sound = [quote for quote in quotes if quote.rule != "malformed"]
    broken = [quote for quote in quotes if quote.rule == "malformed"]
    attributor = Attributor(sound, text, paragraphs, cast, hidden=broken)
    whole = _complete_cast(attributor, cast)
    parts = [[quote] for quote in sound]
    if split:
        parts = [split_utterance(line, clues, text, paragraphs) for line, clues in zip(attributor.lines, attributor.clues, strict=True)]
    pieces = [piece for pieces in parts for piece in pieces]
    if len(pieces) > len(sound) or len(whole) > len(cast):
        attributor = Attributor(pieces, text, paragraphs, whole, hidden=broken)
    decided = []
    for quote, (person, rule, confidence) in zip(pieces, decide_speakers(attributor, attributor.run()), strict=True):
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
    """Return as `attribute_quotes` does the quotes of each chapter, decided together: what one chapter shows serves the others."""
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
    for quote in attribute_quotes(quotes, text, paragraphs, cast, split):
        while number + 1 < len(starts) and quote.first >= starts[number + 1]:
            number += 1
        found[number].append(replace(quote, first=quote.first - starts[number], last=quote.last - starts[number]))
    return found


def _complete_cast(attributor: Attributor, cast: Sequence[Character]) -> tuple[Character, ...]:
    """Return the cast with those added whom cues name and it lacks, and with its narrator marked."""
    people = [replace(character, narrator=index == attributor.learned.narrator) for index, character in enumerate(cast)]
    known = {character.name for character in cast}
    cues = [clue for clues in attributor.clues for clue in clues if clue.rule in CUES]
    says_i = sum(clue.mention.kind == NARRATOR_I for clue in cues)
    if attributor.learned.narrator == NOBODY and says_i and says_i >= MIN_SHARE * len(attributor.lines) and NARRATOR not in known:
        people.append(Character(NARRATOR, narrator=True))
    for clue in cues:
        name = clue.mention.words if clue.mention.kind == OUTSIDER else ""
        # "said Hallam" is a person; what else has a capital and stands before a verb of saying may be a place or an opening word.
        if name and name not in known and (clue.rule == "verb-subject" or " " in name):
            known.add(name)
            people.append(Character(name, gender=clue.mention.gender))
    return tuple(people)
