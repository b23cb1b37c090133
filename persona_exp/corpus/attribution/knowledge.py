"""What a book tells about its people beyond the words beside a quotation: whom descriptions mean, who says "papa", who talks most."""

from collections import defaultdict
from collections.abc import Sequence

from persona_exp.corpus.attribution.decode import NOBODY
from persona_exp.corpus.attribution.evidence import Clue
from persona_exp.corpus.attribution.layout import Line
from persona_exp.corpus.attribution.lexicon import Lexicon
from persona_exp.corpus.attribution.narration import DESCRIPTION, Mention

# Who is only heard or seen so far is mostly none of those at hand.
UNSEEN = frozenset(("voice", "other", "stranger", "another", "others", "one"))


class Knowledge:
    """People of one book. `links`: description → people, `kin`: "papa", "sir" → who says so, both as sums of shares; `usual`: gender → who
    speaks most. They are empty until `learn`."""

    def __init__(self, lexicon: Lexicon, narrator: int) -> None:
        self.lexicon = lexicon
        self.genders = lexicon.genders
        self.narrator = narrator
        self._others = {
            one: frozenset(person for person, gender in enumerate(self.genders) if gender not in (one, None)) for one in ("male", "female")
        }
        self.links: dict[str, dict[int, float]] = {}
        self.kin: dict[str, dict[int, float]] = {}
        self.spoken: dict[int, float] = {}
        self.usual: dict[str, list[int]] = {"male": [], "female": []}

    def others(self, gender: str) -> frozenset[int]:
        """People of the other gender."""
        return self._others[gender]

    def learn(self, lines: Sequence[Line], clues: Sequence[Sequence[Clue]], found: Sequence[dict[int, float]]) -> None:
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
        for gender in self.usual:
            ranked = sorted(
                (person for person in spoken if person != NOBODY and self.genders[person] == gender), key=lambda one: (-spoken[one], one)
            )
            self.usual[gender] = ranked[:2]

    def meant(self, mention: Mention) -> tuple[int, ...]:
        """Whom a description in narration means, where the cast or an earlier pass says so."""
        head = mention.head
        links = self.links.get(mention.words)
        if not mention.people and links and not mention.owned and head not in UNSEEN:
            person, count = max(links.items(), key=lambda item: item[1])
            if person != NOBODY and count >= 1.5 and count * 2 >= sum(links.values()):
                return (person,)
        return mention.people + tuple(person for person in self.lexicon.heads.get(head, ()) if person not in mention.people)
