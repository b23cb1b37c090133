"""Who the "I" of the narration is, where the cast does not say."""

from collections import Counter
from collections.abc import Sequence

from persona_exp.corpus.attribution.decode import NOBODY
from persona_exp.corpus.attribution.evidence import CUES, Clue
from persona_exp.corpus.attribution.layout import Block, Line
from persona_exp.corpus.attribution.narration import NAME, NARRATOR_I

# A narrator says something at least so often, and in at least this share of the lines.
MIN_CUES, MIN_SHARE = 3, 0.02


def find_narrator(lines: Sequence[Line], blocks: Sequence[Block], clues: Sequence[Sequence[Clue]]) -> int:
    """The person whom others call by name around "said I" and of whom the narration hardly ever tells; NOBODY in a third-person story."""
    speaks = [any(clue.rule in CUES and clue.mention.kind == NARRATOR_I for clue in found) for found in clues]
    if sum(speaks) < max(MIN_CUES, MIN_SHARE * len(lines)):
        return NOBODY
    called: Counter[int] = Counter()
    for number, line in enumerate(lines):
        near = any(speaks[place] for place in (number - 1, number + 1) if 0 <= place < len(lines))
        for person in line.addressed:
            if not speaks[number]:
                called[person] += 3 if near else 1
    told: Counter[int] = Counter()
    for block in blocks:
        for sentence in block.narration:
            for mention in sentence.mentions:
                if mention.kind == NAME and mention.subject:
                    told.update(mention.people)
    ranked = sorted(called, key=lambda person: (-(called[person] / (1 + told[person])), person))
    return ranked[0] if ranked and called[ranked[0]] >= 2 and called[ranked[0]] > told[ranked[0]] else NOBODY
