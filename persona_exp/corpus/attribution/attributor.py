"""Weighs, for every line, who may have said it, and decides over whole conversations."""

from collections.abc import Sequence

from persona_exp.corpus.attribution.decode import NOBODY, Turn, shares
from persona_exp.corpus.attribution.evidence import CUES, Clue, clues
from persona_exp.corpus.attribution.knowledge import Knowledge
from persona_exp.corpus.attribution.layout import Block, lay_out
from persona_exp.corpus.attribution.lexicon import Lexicon
from persona_exp.corpus.attribution.narration import DESCRIPTION, NAME, NARRATOR_I, PRONOUN
from persona_exp.corpus.attribution.narrator import find_narrator
from persona_exp.corpus.attribution.presence import SCENE_FADE, SENTENCE_FADE, People, to_come
from persona_exp.corpus.attribution.weights import BASE, weigh, weigh_words
from persona_exp.corpus.cast.character import Character
from persona_exp.corpus.quotation.quotes import Quote
from persona_exp.corpus.reading.paragraphs import Paragraph

# The first pass learns whom descriptions mean, the second one uses it.
PASSES = 2
# So many of those at hand are weighed; clues add others.
CANDIDATES = 6
# A score of presence s weighs BASE + min(s, CAP) ** POWER.
CAP, POWER = 3.0, 0.7
# What is added to the scores: by speaking, at least when called by name, and by being named further on.
SPOKE, CALLED_SEEN, AHEAD = 0.8, 0.5, 0.3
# How much it counts, in the second pass, how many lines a person has in the book, up to so many.
TALKATIVE, MANY_LINES = 0.3, 50.0
# Where nobody weighs more than this, nobody is named.
FAINT = 0.02
# How a line follows the one before it: weights that the same voice goes on, that the other one answers, that somebody else comes in.
TURNS = {
    "runs on": (300.0, 1.0, 1.0),
    "same paragraph": (8.0, 1.0, 0.5),
    "next": (0.03, 3.0, 0.5),
    "next, narrated": (0.3, 2.0, 0.6),
    "one between": (0.8, 1.2, 0.8),
    "more between": (0.8, 1.0, 0.8),
}


class Attributor:
    """The lines of one text with their clues. What stands in `hidden` quotations is neither line nor narration."""

    def __init__(
        self,
        quotes: Sequence[Quote],
        text: str,
        paragraphs: Sequence[Paragraph],
        cast: Sequence[Character],
        hidden: Sequence[Quote] = (),
    ) -> None:
        lexicon = Lexicon(cast)
        self.lines, self.blocks = lay_out(quotes, text, paragraphs, lexicon, hidden)
        self.order = [number for block in self.blocks for number in block.lines]
        self.clues: list[list[Clue]] = [[] for _ in self.lines]
        for block in self.blocks:
            for position, number in enumerate(block.lines):
                before = self.blocks[block.index - 1] if block.index and position == 0 else None
                if before is not None and not (before.leads_in and before.scene == block.scene):
                    before = None
                self.clues[number] = clues(self.lines[number], before)
        flagged = next((index for index, character in enumerate(cast) if character.narrator), NOBODY)
        narrator = flagged if flagged != NOBODY else find_narrator(self.lines, self.blocks, self.clues)
        self.book = Knowledge(lexicon, narrator)
        self.ahead = to_come(self.lines, self.blocks)

    def run(self) -> list[dict[int, float]]:
        """For each line its candidates (indices into the cast, or NOBODY) with their shares."""
        found: list[dict[int, float]] = [{} for _ in self.lines]
        for _ in range(PASSES):
            for number, share in zip(self.order, shares(self._turns()), strict=True):
                found[number] = share
            self.book.learn(self.lines, self.clues, found)
        return found

    def _turns(self) -> list[Turn]:
        """A turn for each line, in the order of the text."""
        people = People()
        turns: list[Turn] = []
        scene = -1
        quiet = 0
        last: int | None = None
        for block in self.blocks:
            people.move(block.index)
            fresh = block.scene != scene
            if fresh:
                people.fade(SCENE_FADE)
                scene = block.scene
            self._see(block, people)
            if not block.lines:
                quiet += 0 if block.speaks else 1
                continue
            for position, number in enumerate(block.lines):
                if self.lines[number].runs_on and turns:
                    # Whoever began it goes on; who is mentioned in a story that is told says nothing about the teller.
                    turn = Turn(dict.fromkeys(turns[-1].evidence, 1.0))
                else:
                    turn = self._turn(number, block, people)
                turn.fresh = (fresh and position == 0) or last is None
                turn.same, turn.answer, turn.new = TURNS[self._following(number, position, quiet, last)]
                turns.append(turn)
                last = number
                total = sum(turn.evidence.values())
                for person, weight in turn.evidence.items():
                    if person != NOBODY:
                        people.see(person, SPOKE * weight / total)
            quiet = 0
        return turns

    def _see(self, block: Block, people: People) -> None:
        """Take in whom the narration of a paragraph mentions, and whom its lines call."""
        for sentence in block.narration:
            people.fade(SENTENCE_FADE)
            for mention in sentence.mentions:
                weight = 1.0 if mention.subject else 0.5
                if mention.kind == NAME:
                    for person in mention.people:
                        people.see(person, weight / len(mention.people))
                elif mention.kind == NARRATOR_I and self.book.narrator != NOBODY and not block.goes_on:
                    people.see(self.book.narrator, 0.5)
                elif mention.kind == DESCRIPTION:
                    meant = self.book.meant(mention)
                    for person in meant:
                        people.see(person, 0.5 * weight / len(meant))
                elif mention.kind == PRONOUN:
                    likeliest = people.most(mention.gender, self.book.genders)
                    if likeliest is not None:
                        people.see(likeliest, 0.4 * weight)
        for number in block.lines:
            for person in self.lines[number].addressed:
                people.score[person] = max(people.score.get(person, 0.0), CALLED_SEEN)

    def _turn(self, number: int, block: Block, people: People) -> Turn:
        line = self.lines[number]
        at_hand = dict(people.score)
        for person, weight in self.ahead[block.index].items():
            at_hand[person] = at_hand.get(person, 0.0) + AHEAD * weight
        ranked = sorted(at_hand.items(), key=lambda item: -item[1])[:CANDIDATES]
        evidence = {person: BASE + min(score, CAP) ** POWER for person, score in ranked}
        if self.book.spoken:
            for person in evidence:
                evidence[person] *= min(1.0 + self.book.spoken.get(person, 0.0), MANY_LINES) ** TALKATIVE
        gender = next((clue.mention.gender for clue in self.clues[number] if clue.rule in CUES), None)
        if gender:
            for person in self.book.usual[gender]:
                evidence.setdefault(person, BASE)
        for clue in self.clues[number]:
            weigh(clue, evidence, self.book, people)
        before = self.lines[number - 1] if number else None
        after = self.lines[number + 1] if number + 1 < len(self.lines) else None
        weigh_words(line, before, after, evidence, self.book)
        if max(evidence.values(), default=0.0) < FAINT:
            evidence = {NOBODY: 1.0}
        polite = self.book.others(line.polite) if line.polite else frozenset()
        return Turn(evidence, listener=self._listener(number), polite=polite)

    def _listener(self, number: int) -> int:
        """Whom a line is said to, by its own words or by its cue's ("said he to Holmes")."""
        called = self.lines[number].addressed
        if not called:
            others = [other for clue in self.clues[number] if clue.rule in CUES for other in clue.others]
            called = [other.people[0] for other in others if other.kind == NAME and other.spoken_to and len(other.people) == 1]
        return called[0] if len(called) == 1 else NOBODY

    def _following(self, number: int, position: int, quiet: int, last: int | None) -> str:
        """Which of TURNS: `position` of the line in its paragraph, `quiet` paragraphs without speech before it, and the line before it."""
        line = self.lines[number]
        if line.runs_on:
            return "runs on"
        if position:
            return "same paragraph"
        if quiet:
            return "one between" if quiet == 1 else "more between"
        narrated = line.lead or (last is not None and len(self.lines[last].tails[-1]) > 1)
        return "next, narrated" if narrated else "next"
