"""What a book tells about its people beyond the words beside a quotation: whom descriptions mean, who says "papa", who talks most."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from persona_exp.corpus.cast.character import NOBODY
from persona_exp.corpus.cast.name_forms import NameForms
from persona_exp.corpus.speaker_attribution.narration_parser import DESCRIPTION, NAME, Mention
from persona_exp.corpus.speaker_attribution.quote_context import DialogueLine
from persona_exp.corpus.speaker_attribution.speaker_clues import CUES, Clue

# Who is only heard or seen so far is mostly none of those at hand.
UNSEEN = frozenset(("voice", "other", "stranger", "another", "others", "one"))
# A learned link is known when so many lines, and such a share of those that the description is beside, are the person's, and when at most
# one in so many of them has the person's name beside it as another person's: one who is always at hand gets the lines of all the nameless.
KNOWN_LINES, KNOWN_SHARE, APART = 5.0, 0.75, 4.0


class LearnedLinks:
    """People of one book. `links`: description → people, `kin`: "papa", "sir" → who says so, both as sums of shares; `usual`: gender → who
    speaks most. They are empty until `learn`."""

    def __init__(self, forms: NameForms, narrator: int) -> None:
        self.forms = forms
        self.genders = forms.genders
        self.narrator = narrator
        # The people of the other gender.
        self.others = {
            one: frozenset(person for person, gender in enumerate(self.genders) if gender not in (one, None)) for one in ("male", "female")
        }
        self.links: dict[str, dict[int, float]] = {}
        self._apart: Counter[tuple[str, int]] = Counter()
        self.kin: dict[str, dict[int, float]] = {}
        self.spoken: dict[int, float] = {}
        self.usual: dict[str, list[int]] = {"male": [], "female": []}

    def learn(self, lines: Sequence[DialogueLine], clues: Sequence[Sequence[Clue]], found: Sequence[dict[int, float]]) -> None:
        """Take in the shares `found` for each line."""
        links: defaultdict[str, dict[int, float]] = defaultdict(lambda: defaultdict(float))
        kin: defaultdict[str, dict[int, float]] = defaultdict(lambda: defaultdict(float))
        spoken: defaultdict[int, float] = defaultdict(float)
        for number, share in enumerate(found):
            for person, part in share.items():
                spoken[person] += part
                if lines[number].kin:
                    kin[lines[number].kin][person] += part
            for clue in clues[number]:
                if clue.mention.kind == DESCRIPTION:
                    for person, part in share.items():
                        links[clue.mention.words][person] += part
        self.links, self.kin, self.spoken = dict(links), dict(kin), dict(spoken)
        self._apart = _named_beside(lines, clues)
        for gender in self.usual:
            ranked = sorted(
                (person for person in spoken if person != NOBODY and self.genders[person] == gender), key=lambda one: (-spoken[one], one)
            )
            self.usual[gender] = ranked[:2]

    def knows(self, mention: Mention, person: int) -> bool:
        """Return whether the cast, or enough of the book, says that a description means `person`, and not merely who is at hand."""
        if person in mention.people or person in self.forms.heads.get(mention.head, ()):
            return True
        links = self.links.get(mention.words)
        if not links or mention.owned or mention.head in UNSEEN:
            return False
        count = links.get(person, 0.0)
        enough = count >= KNOWN_LINES and count >= KNOWN_SHARE * sum(links.values())
        return enough and APART * self._apart[mention.words, person] <= count

    def meant(self, mention: Mention) -> tuple[int, ...]:
        """Return whom a description in narration means, where the cast or an earlier pass says so."""
        head = mention.head
        links = self.links.get(mention.words)
        if not mention.people and links and not mention.owned and head not in UNSEEN:
            person, count = max(links.items(), key=lambda item: item[1])
            if person != NOBODY and count >= 1.5 and count * 2 >= sum(links.values()):
                return (person,)
        return mention.people + tuple(person for person in self.forms.heads.get(head, ()) if person not in mention.people)


def _named_beside(lines: Sequence[DialogueLine], clues: Sequence[Sequence[Clue]]) -> Counter[tuple[str, int]]:
    """Return how often a description says a line beside a person named in its sentence, or for the line next to it."""
    named = [{clue.mention.people[0] for clue in own if _names_one(clue.mention) and clue.rule in CUES} for own in clues]
    found: Counter[tuple[str, int]] = Counter()
    for number, own in enumerate(clues):
        for clue in own:
            if clue.mention.kind != DESCRIPTION or clue.rule not in CUES:
                continue
            beside = {other.people[0] for other in clue.others if _names_one(other)}
            for near in (number - 1, number + 1):
                # Within a paragraph it is mostly the same one who goes on.
                if 0 <= near < len(lines) and abs(lines[near].quote.first - lines[number].quote.first) == 1:
                    beside |= named[near]
            found.update((clue.mention.words, person) for person in beside)
    return found


def _names_one(mention: Mention) -> bool:
    return mention.kind == NAME and len(mention.people) == 1
