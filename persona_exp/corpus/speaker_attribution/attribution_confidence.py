"""From shares to decisions: whom a line is given to, by which rule, and how far to trust it."""

from collections.abc import Sequence

from persona_exp.corpus.cast.character import NOBODY
from persona_exp.corpus.speaker_attribution.narration_parser import DESCRIPTION, MANY, NAME, NARRATOR_I, PRONOUN
from persona_exp.corpus.speaker_attribution.speaker_clues import CUES
from persona_exp.corpus.speaker_attribution.speaker_probabilities import Attributor

# At or above this, decisions are sure enough to train a voice on: of the quotations so given to a main character, 19 in 20 are right.
DEFAULT_CONFIDENCE = 0.88
# Rules by which the text itself names the speaker.
NAMING = (*CUES, "narrator")
Decision = tuple[int, str, float]


def decide_speakers(attributor: Attributor, shares: Sequence[dict[int, float]]) -> list[Decision]:
    """Return for each line the person (NOBODY where nothing tells), the rule and the confidence."""
    found: list[Decision] = []
    for number, share in enumerate(shares):
        person = max(share, key=lambda one: share[one]) if share else NOBODY
        if person == NOBODY:
            found.append((NOBODY, _undecided(attributor, number), 0.0))
        else:
            rule = _rule(attributor, number, person, found)
            # The only candidate has all the share, whatever speaks for it.
            sole = len(share) == 1 and rule not in NAMING
            found.append((person, rule, confidence(rule, min(share[person], 0.95) if sole else share[person])))
    return found


def _undecided(attributor: Attributor, number: int) -> str:
    for clue in attributor.clues[number]:
        if clue.rule in CUES and clue.mention.kind in (PRONOUN, DESCRIPTION):
            return "pronoun" if clue.mention.kind == PRONOUN else "description"
    return "unknown"


def _rule(attributor: Attributor, number: int, person: int, before: Sequence[Decision]) -> str:
    """Return what speaks most plainly for `person` at a line."""
    line = attributor.lines[number]
    for clue in attributor.clues[number]:
        mention = clue.mention
        said = clue.rule in CUES
        if clue.rule == "silent":
            continue
        if mention.kind == NAME and person in mention.people:
            return clue.rule if said else "action"
        if mention.kind == NARRATOR_I and person == attributor.learned.narrator:
            return "narrator" if said else "action"
        if mention.kind == PRONOUN and attributor.learned.genders[person] in (mention.gender, None):
            return "pronoun" if said else "action"
        if mention.kind == DESCRIPTION:
            if not attributor.learned.knows(mention, person):
                return "stranger"
            return "description" if said else "action"
        if mention.kind == MANY and said:
            return "many"
    if line.runs_on:
        return "continued"
    if number and before[number - 1][0] == person and attributor.lines[number - 1].quote.last == line.quote.first:
        return "same-paragraph"
    for near in (number - 1, number + 1):
        if 0 <= near < len(attributor.lines) and person in attributor.lines[near].addressed:
            return "vocative"
    if number > 1 and before[number - 2][0] == person:
        return "alternation"
    return "presence"


# Confidence by rule, at these shares of the decoder and linearly between them: how often such decisions were right in novels read
# with the answers beside them, rounded, by hand.
STEPS = (0.0, 0.5, 0.8, 0.95, 0.99, 0.999, 1.0)
TABLE = {
    "verb-subject": (0.5, 0.9, 0.97, 0.985, 0.99, 0.995, 0.995),
    "subject-verb": (0.3, 0.6, 0.8, 0.92, 0.97, 0.985, 0.985),
    "introduced": (0.3, 0.5, 0.6, 0.75, 0.8, 0.9, 0.93),
    "narrator": (0.5, 0.8, 0.95, 0.98, 0.99, 0.99, 0.99),
    "pronoun": (0.2, 0.55, 0.77, 0.91, 0.95, 0.96, 0.96),
    "vocative": (0.2, 0.65, 0.92, 0.96, 0.98, 0.98, 0.98),
    "alternation": (0.2, 0.6, 0.81, 0.92, 0.95, 0.97, 0.97),
    "presence": (0.2, 0.5, 0.67, 0.82, 0.86, 0.86, 0.86),
    "action": (0.2, 0.4, 0.6, 0.82, 0.88, 0.93, 0.93),
    "description": (0.1, 0.5, 0.65, 0.82, 0.87, 0.95, 0.97),
    # A description that nothing links to the person: a person whom the cast lacks, more often than not.
    "stranger": (0.05, 0.2, 0.3, 0.4, 0.5, 0.6, 0.6),
    "same-paragraph": (0.1, 0.4, 0.55, 0.6, 0.7, 0.7, 0.7),
    "continued": (0.2, 0.5, 0.55, 0.55, 0.6, 0.6, 0.6),
    "many": (0.1, 0.3, 0.4, 0.4, 0.4, 0.4, 0.4),
}


def confidence(rule: str, share: float) -> float:
    """Return how far to trust a decision by `rule` for a candidate with this `share`, between 0 and 1."""
    values = TABLE[rule]
    above = next(index for index in range(1, len(STEPS)) if share <= STEPS[index] or index == len(STEPS) - 1)
    low, high = STEPS[above - 1], STEPS[above]
    part = (share - low) / (high - low)
    return round(values[above - 1] + (values[above] - values[above - 1]) * min(part, 1.0), 3)
