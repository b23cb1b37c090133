"""Who is at hand: people that narration has just mentioned, that have just spoken, or that are about to be named."""

from collections.abc import Sequence

from persona_exp.corpus.speaker_attribution.narration_parser import NAME
from persona_exp.corpus.speaker_attribution.quote_context import DialogueLine, NarratedParagraph

# What remains of a score after a paragraph, after a sentence, and after a break between scenes.
FADE, SENTENCE_FADE, SCENE_FADE = 0.6, 0.87, 0.3
FORGOTTEN = 0.02


class ScenePresence:
    """A score for each person that fades from sentence to sentence and from paragraph to paragraph."""

    def __init__(self) -> None:
        self.score: dict[int, float] = {}
        self.block = 0

    def move_to(self, block: int) -> None:
        """Go on to paragraph `block`."""
        if block > self.block:
            self.fade(FADE ** (block - self.block))
            self.score = {person: score for person, score in self.score.items() if score > FORGOTTEN}
            self.block = block

    def fade(self, factor: float) -> None:
        """Let everybody recede."""
        for person in self.score:
            self.score[person] *= factor

    def add(self, person: int, weight: float) -> None:
        """Let a person be mentioned or speak."""
        self.score[person] = self.score.get(person, 0.0) + weight

    def most_present(self, gender: str | None, genders: Sequence[str | None]) -> int | None:
        """Return who of that gender is most at hand."""
        fitting = [(score, person) for person, score in self.score.items() if person >= 0 and genders[person] == gender]
        return max(fitting)[1] if fitting else None


def named_later(lines: Sequence[DialogueLine], blocks: Sequence[NarratedParagraph]) -> list[dict[int, float]]:
    """Return for each paragraph who is named behind it in its scene, between 0 and 1, the nearest most: a stranger is named soon."""
    found: list[dict[int, float]] = [{} for _ in blocks]
    coming: dict[int, float] = {}
    for block in reversed(blocks):
        if block.index + 1 < len(blocks) and blocks[block.index + 1].scene != block.scene:
            coming = {}
        found[block.index] = coming
        coming = {person: score * FADE for person, score in coming.items() if score > 0.1}
        for sentence in block.narration:
            for mention in sentence.mentions:
                if mention.kind == NAME and len(mention.people) == 1:
                    coming[mention.people[0]] = 1.0
        for number in block.lines:
            for person in lines[number].addressed:
                coming[person] = 1.0
    return found
