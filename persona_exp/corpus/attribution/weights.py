"""How many times likelier or unlikelier each clue makes a candidate. All weights are set by hand."""

from persona_exp.corpus.attribution.decode import NOBODY
from persona_exp.corpus.attribution.evidence import CUES, Clue
from persona_exp.corpus.attribution.knowledge import UNSEEN, Knowledge
from persona_exp.corpus.attribution.layout import Line
from persona_exp.corpus.attribution.narration import DESCRIPTION, NAME, NARRATOR_I, OUTSIDER, PRONOUN, Mention
from persona_exp.corpus.attribution.presence import People
from persona_exp.corpus.attribution.words import KIN

Evidence = dict[int, float]

# The weight of somebody who is not at hand.
BASE = 0.02
# For the one whom a clue names; what these rules are, evidence.py tells.
POINTS = {
    "verb-subject": 600.0,
    "subject-verb": 400.0,
    "introduced": 200.0,
    "beat": 60.0,
    "lead": 40.0,
    "action": 12.0,
    "action-after": 10.0,
    "silent": 0.1,
}
# For people of the other gender than a clue's "he" or "she".
CLASH = {
    "verb-subject": 0.002,
    "subject-verb": 0.002,
    "introduced": 0.004,
    "beat": 0.02,
    "lead": 0.03,
    "action": 0.15,
    "action-after": 0.15,
}
UNKNOWN_GENDER = 0.4
# For people whom the cast calls by a description's words, or by its noun.
LISTED_NOUN, HEAD_NOUN = 15.0, 12.0
# For people of whom a learned link says that the description never, or always, means them: LINK[0] to LINK[0] + LINK[1].
LINK = (0.3, 3.0)
# The same for who says "papa".
CALLS = (0.5, 2.0)
# "Her mother": for herself, and for people who bear her surname.
OWNER, FAMILY = 0.1, 3.0
# For people whom the cue's sentence mentions beside the speaker.
BESIDE, SPOKEN_TO = 0.3, 0.05
# For people whom the line itself names, calls, or says that the speaker is; and whom the lines before and after name without calling.
NAMED, ADDRESSED, SELF, NEAR_NAMED = 0.25, 0.08, 300.0, 0.5
# For people who cannot have been called "sir" or "madam" just before.
POLITE_NEXT = 0.5


def weigh(clue: Clue, evidence: Evidence, book: Knowledge, people: People) -> None:
    """Let `clue` change the weights of the candidates in `evidence`, and add those it names."""
    mention, strength = clue.mention, POINTS[clue.rule]
    if mention.kind == NAME:
        for person in mention.people:
            evidence[person] = evidence.get(person, 0.05) * strength
    elif mention.kind == NARRATOR_I and book.narrator != NOBODY:
        evidence[book.narrator] = evidence.get(book.narrator, 0.5) * strength
    if clue.rule == "silent":
        return
    if mention.kind in (PRONOUN, DESCRIPTION, OUTSIDER):
        _weigh_gender(mention, CLASH[clue.rule], evidence, book)
    if mention.kind == DESCRIPTION:
        _weigh_description(mention, evidence, book, people)
    if clue.rule in CUES or mention.kind == NAME:
        for other in clue.others:
            if other.kind == NAME and len(other.people) == 1 and other.people != mention.people and other.people[0] in evidence:
                evidence[other.people[0]] *= SPOKEN_TO if other.spoken_to and clue.rule in CUES else BESIDE


def weigh_words(line: Line, before: Line | None, after: Line | None, evidence: Evidence, book: Knowledge) -> None:
    """Let what `line` says, and what those next to it say, change the weights."""
    if line.introduces != NOBODY:
        evidence[line.introduces] = evidence.get(line.introduces, BASE) * SELF
    for person in evidence:
        if person in line.named:
            evidence[person] *= NAMED
        if person in line.addressed:
            evidence[person] *= ADDRESSED
        for near in (before, after):
            if near is not None and abs(near.quote.first - line.quote.first) <= 2 and person in near.named and person not in near.addressed:
                evidence[person] *= NEAR_NAMED
        if before is not None and before.polite and before.quote.last == line.quote.first - 1 and person != NOBODY:
            evidence[person] *= POLITE_NEXT if book.genders[person] not in (before.polite, None) else 1.0
    links = book.kin.get(line.kin) if line.kin else None
    if links:
        total = sum(links.values())
        for person in evidence:
            evidence[person] *= CALLS[0] + CALLS[1] * links.get(person, 0.0) / total


def _weigh_gender(mention: Mention, clash: float, evidence: Evidence, book: Knowledge) -> None:
    if mention.gender is None:
        return
    for person in evidence:
        gender = book.genders[person] if person != NOBODY else None
        if person == book.narrator:
            evidence[person] *= clash
        elif gender is None:
            evidence[person] *= UNKNOWN_GENDER
        elif gender != mention.gender:
            evidence[person] *= clash


def _weigh_description(mention: Mention, evidence: Evidence, book: Knowledge, people: People) -> None:
    for person in mention.people:
        evidence[person] = evidence.get(person, 0.1) * LISTED_NOUN
    for person in book.lexicon.heads.get(mention.head, ()):
        if person not in mention.people:
            evidence[person] = evidence.get(person, BASE) * HEAD_NOUN
    if mention.owned:
        _weigh_owner(mention, evidence, book, people)
    links = book.links.get(mention.words) if mention.head not in UNSEEN else None
    if links:
        total = sum(links.values())
        for person in evidence:
            evidence[person] *= LINK[0] + LINK[1] * links.get(person, 0.0) / total


def _weigh_owner(mention: Mention, evidence: Evidence, book: Knowledge, people: People) -> None:
    """'Her mother' is not she herself, and mostly bears her name. 'My' means the narrator."""
    owner: int | None = book.narrator
    if mention.owner:
        owner = mention.owner[0]
    elif mention.owner_gender:
        owner = people.most(mention.owner_gender, book.genders)
    if owner is None or owner == NOBODY:
        return
    if mention.owner or mention.gender != book.genders[owner] or mention.head in KIN:
        evidence[owner] = evidence.get(owner, BASE) * OWNER
    if mention.head in KIN:
        for person in evidence:
            if person not in (owner, NOBODY) and book.lexicon.houses[person] & book.lexicon.houses[owner]:
                evidence[person] *= FAMILY
