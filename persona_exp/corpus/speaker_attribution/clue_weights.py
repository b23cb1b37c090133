"""How many times likelier or unlikelier each clue makes a candidate. All weights are set by hand."""

from persona_exp.corpus.cast.character import NOBODY
from persona_exp.corpus.speaker_attribution.description_links import UNSEEN, LearnedLinks
from persona_exp.corpus.speaker_attribution.narration_parser import DESCRIPTION, NAME, NARRATOR_I, OUTSIDER, PRONOUN, Mention
from persona_exp.corpus.speaker_attribution.quote_context import DialogueLine
from persona_exp.corpus.speaker_attribution.scene_presence import ScenePresence
from persona_exp.corpus.speaker_attribution.speaker_clues import CUES, Clue
from persona_exp.corpus.word_lists.person_nouns import KIN

Evidence = dict[int, float]

# The weight of a person who is not at hand.
BASE = 0.02
# For the one whom a clue names; what these rules are, speaker_clues.py says.
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


def weigh_clue(clue: Clue, evidence: Evidence, learned: LearnedLinks, presence: ScenePresence) -> None:
    """Let `clue` change the weights of the candidates in `evidence`, and add those it names."""
    mention, strength = clue.mention, POINTS[clue.rule]
    if mention.kind == NAME:
        for person in mention.people:
            evidence[person] = evidence.get(person, 0.05) * strength
    elif mention.kind == NARRATOR_I and learned.narrator != NOBODY:
        evidence[learned.narrator] = evidence.get(learned.narrator, 0.5) * strength
    if clue.rule == "silent":
        return
    if mention.kind in (PRONOUN, DESCRIPTION, OUTSIDER):
        _weigh_gender(mention, CLASH[clue.rule], evidence, learned)
    if mention.kind == DESCRIPTION:
        _weigh_description(mention, evidence, learned, presence)
    if clue.rule in CUES or mention.kind == NAME:
        for other in clue.others:
            if other.kind == NAME and len(other.people) == 1 and other.people != mention.people and other.people[0] in evidence:
                evidence[other.people[0]] *= SPOKEN_TO if other.spoken_to and clue.rule in CUES else BESIDE


def weigh_speech(
    line: DialogueLine, before: DialogueLine | None, after: DialogueLine | None, evidence: Evidence, learned: LearnedLinks
) -> None:
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
            evidence[person] *= POLITE_NEXT if learned.genders[person] not in (before.polite, None) else 1.0
    links = learned.kin.get(line.kin) if line.kin else None
    if links:
        total = sum(links.values())
        for person in evidence:
            evidence[person] *= CALLS[0] + CALLS[1] * links.get(person, 0.0) / total


def _weigh_gender(mention: Mention, clash: float, evidence: Evidence, learned: LearnedLinks) -> None:
    if mention.gender is None:
        return
    for person in evidence:
        gender = learned.genders[person] if person != NOBODY else None
        if person == learned.narrator:
            evidence[person] *= clash
        elif gender is None:
            evidence[person] *= UNKNOWN_GENDER
        elif gender != mention.gender:
            evidence[person] *= clash


def _weigh_description(mention: Mention, evidence: Evidence, learned: LearnedLinks, presence: ScenePresence) -> None:
    for person in mention.people:
        evidence[person] = evidence.get(person, 0.1) * LISTED_NOUN
    for person in learned.forms.heads.get(mention.head, ()):
        if person not in mention.people:
            evidence[person] = evidence.get(person, BASE) * HEAD_NOUN
    if mention.owned:
        _weigh_owner(mention, evidence, learned, presence)
    links = learned.links.get(mention.words) if mention.head not in UNSEEN else None
    if links:
        total = sum(links.values())
        for person in evidence:
            evidence[person] *= LINK[0] + LINK[1] * links.get(person, 0.0) / total


def _weigh_owner(mention: Mention, evidence: Evidence, learned: LearnedLinks, presence: ScenePresence) -> None:
    """Weigh "her mother", who is not she herself, and mostly bears her name. "My" means the narrator."""
    owner: int | None = learned.narrator
    if mention.owner:
        owner = mention.owner[0]
    elif mention.owner_gender:
        owner = presence.most_present(mention.owner_gender, learned.genders)
    if owner is None or owner == NOBODY:
        return
    if mention.owner or mention.gender != learned.genders[owner] or mention.head in KIN:
        evidence[owner] = evidence.get(owner, BASE) * OWNER
    if mention.head in KIN:
        for person in evidence:
            if person not in (owner, NOBODY) and learned.forms.houses[person] & learned.forms.houses[owner]:
                evidence[person] *= FAMILY
