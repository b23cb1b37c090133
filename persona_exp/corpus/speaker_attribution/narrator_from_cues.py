"""Who the "I" of the narration is, where the cast does not say."""

from collections import Counter
from collections.abc import Sequence

from persona_exp.corpus.cast.character import NOBODY
from persona_exp.corpus.speaker_attribution.narration_parser import NAME, NARRATOR_I
from persona_exp.corpus.speaker_attribution.quote_context import DialogueLine, NarratedParagraph
from persona_exp.corpus.speaker_attribution.speaker_clues import CUES, Clue

# A narrator says something at least so often, and in at least this share of the lines.
MIN_CUES, MIN_SHARE = 3, 0.02


def find_narrator_from_cues(lines: Sequence[DialogueLine], blocks: Sequence[NarratedParagraph], clues: Sequence[Sequence[Clue]]) -> int:
    """Return whom others call by name around "said I" and the narration hardly ever names; NOBODY in a third-person story."""
    speaks = [any(clue.rule in CUES and clue.mention.kind == NARRATOR_I for clue in found) for found in clues]
    if sum(speaks) < max(MIN_CUES, MIN_SHARE * len(lines)):
        return NOBODY
    called: Counter[int] = Counter()
    for number, line in enumerate(lines):
        near = any(speaks[place] for place in (number - 1, number + 1) if 0 <= place < len(lines))
        for person in line.addressed:
            if not speaks[number]:
                called[person] += 3 if near else 1
    narrated: Counter[int] = Counter()
    for block in blocks:
        for sentence in block.narration:
            for mention in sentence.mentions:
                if mention.kind == NAME and mention.subject:
                    narrated.update(mention.people)
    ranked = sorted(called, key=lambda person: (-(called[person] / (1 + narrated[person])), person))
    return ranked[0] if ranked and called[ranked[0]] >= 2 and called[ranked[0]] > narrated[ranked[0]] else NOBODY
