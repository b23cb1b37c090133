"""Weighs, for every line, who may have said it, and decides over whole conversations."""

from collections.abc import Sequence

from persona_exp.corpus.cast.character import NOBODY, Character
from persona_exp.corpus.cast.name_forms import NameForms
from persona_exp.corpus.quotation.quotes import Quote
from persona_exp.corpus.reading.paragraphs_and_scenes import Paragraph
from persona_exp.corpus.speaker_attribution.clue_weights import BASE, weigh_clue, weigh_speech
from persona_exp.corpus.speaker_attribution.description_links import LearnedLinks
from persona_exp.corpus.speaker_attribution.narration_parser import DESCRIPTION, NAME, NARRATOR_I, PRONOUN
from persona_exp.corpus.speaker_attribution.narrator_from_cues import find_narrator_from_cues
from persona_exp.corpus.speaker_attribution.quote_context import NarratedParagraph, lay_out
from persona_exp.corpus.speaker_attribution.scene_presence import SCENE_FADE, SENTENCE_FADE, ScenePresence, named_later
from persona_exp.corpus.speaker_attribution.speaker_clues import CUES, Clue, find_clues
from persona_exp.corpus.speaker_attribution.turn_taking_decoder import TRANSITIONS, Turn, decode_turns
from persona_exp.corpus.speaker_attribution.vocatives import find_vocatives

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
        forms = NameForms(cast)
        self.lines, self.blocks = lay_out(quotes, text, paragraphs, forms, hidden)
        find_vocatives(self.lines, text, forms)
        self.order = [number for block in self.blocks for number in block.lines]
        self.clues: list[list[Clue]] = [[] for _ in self.lines]
        for block in self.blocks:
            for position, number in enumerate(block.lines):
                before = self.blocks[block.index - 1] if block.index and position == 0 else None
                if before is not None and not (before.leads_in and before.scene == block.scene):
                    before = None
                self.clues[number] = find_clues(self.lines[number], before)
        flagged = next((index for index, character in enumerate(cast) if character.narrator), NOBODY)
        narrator = flagged if flagged != NOBODY else find_narrator_from_cues(self.lines, self.blocks, self.clues)
        self.learned = LearnedLinks(forms, narrator)
        self.ahead = named_later(self.lines, self.blocks)

    def run(self) -> list[dict[int, float]]:
        """Return for each line its candidates (indices into the cast, or NOBODY) with their shares."""
        found: list[dict[int, float]] = [{} for _ in self.lines]
        for _ in range(PASSES):
            for number, share in zip(self.order, decode_turns(self._turns()), strict=True):
                found[number] = share
            self.learned.learn(self.lines, self.clues, found)
        return found

    def _turns(self) -> list[Turn]:
        """Return a turn for each line, in the order of the text."""
        presence = ScenePresence()
        turns: list[Turn] = []
        scene = -1
        quiet = 0
        last: int | None = None
        for block in self.blocks:
            presence.move_to(block.index)
            fresh = block.scene != scene
            if fresh:
                presence.fade(SCENE_FADE)
                scene = block.scene
            self._add_narration(block, presence)
            if not block.lines:
                quiet += 0 if block.speaks else 1
                continue
            for position, number in enumerate(block.lines):
                if self.lines[number].runs_on and turns:
                    # The one who began it goes on; people in the story that a speaker tells are no hint at the speaker.
                    turn = Turn(dict.fromkeys(turns[-1].evidence, 1.0))
                else:
                    turn = self._turn(number, block, presence)
                turn.fresh = (fresh and position == 0) or last is None
                turn.same, turn.answer, turn.new = TRANSITIONS[self._following(number, position, quiet, last)]
                turns.append(turn)
                last = number
                total = sum(turn.evidence.values())
                for person, weight in turn.evidence.items():
                    if person != NOBODY:
                        presence.add(person, SPOKE * weight / total)
            quiet = 0
        return turns

    def _add_narration(self, block: NarratedParagraph, presence: ScenePresence) -> None:
        """Take in whom the narration of a paragraph mentions, and whom its lines call."""
        for sentence in block.narration:
            presence.fade(SENTENCE_FADE)
            for mention in sentence.mentions:
                weight = 1.0 if mention.subject else 0.5
                if mention.kind == NAME:
                    for person in mention.people:
                        presence.add(person, weight / len(mention.people))
                elif mention.kind == NARRATOR_I and self.learned.narrator != NOBODY and not block.goes_on:
                    presence.add(self.learned.narrator, 0.5)
                elif mention.kind == DESCRIPTION:
                    meant = self.learned.meant(mention)
                    for person in meant:
                        presence.add(person, 0.5 * weight / len(meant))
                elif mention.kind == PRONOUN:
                    likeliest = presence.most_present(mention.gender, self.learned.genders)
                    if likeliest is not None:
                        presence.add(likeliest, 0.4 * weight)
        for number in block.lines:
            for person in self.lines[number].addressed:
                presence.score[person] = max(presence.score.get(person, 0.0), CALLED_SEEN)

    def _turn(self, number: int, block: NarratedParagraph, presence: ScenePresence) -> Turn:
        line = self.lines[number]
        at_hand = dict(presence.score)
        for person, weight in self.ahead[block.index].items():
            at_hand[person] = at_hand.get(person, 0.0) + AHEAD * weight
        ranked = sorted(at_hand.items(), key=lambda item: -item[1])[:CANDIDATES]
        evidence = {person: BASE + min(score, CAP) ** POWER for person, score in ranked}
        if self.learned.spoken:
            for person in evidence:
                evidence[person] *= min(1.0 + self.learned.spoken.get(person, 0.0), MANY_LINES) ** TALKATIVE
        gender = next((clue.mention.gender for clue in self.clues[number] if clue.rule in CUES), None)
        if gender:
            for person in self.learned.usual[gender]:
                evidence.setdefault(person, BASE)
        for clue in self.clues[number]:
            weigh_clue(clue, evidence, self.learned, presence)
        before = self.lines[number - 1] if number else None
        after = self.lines[number + 1] if number + 1 < len(self.lines) else None
        weigh_speech(line, before, after, evidence, self.learned)
        if max(evidence.values(), default=0.0) < FAINT:
            evidence = {NOBODY: 1.0}
        polite = self.learned.others[line.polite] if line.polite else frozenset()
        return Turn(evidence, listener=self._listener(number), polite=polite)

    def _listener(self, number: int) -> int:
        """Return whom a line is said to, by its own words or by its cue's ("said he to Holmes")."""
        called = self.lines[number].addressed
        if not called:
            others = [other for clue in self.clues[number] if clue.rule in CUES for other in clue.others]
            called = [other.people[0] for other in others if other.kind == NAME and other.spoken_to and len(other.people) == 1]
        return called[0] if len(called) == 1 else NOBODY

    def _following(self, number: int, position: int, quiet: int, last: int | None) -> str:
        """Return which of TRANSITIONS leads to a line, at this `position` in its paragraph, behind `quiet` paragraphs and line `last`."""
        line = self.lines[number]
        if line.runs_on:
            return "runs on"
        if position:
            return "same paragraph"
        if quiet:
            return "one between" if quiet == 1 else "more between"
        narrated = line.lead or (last is not None and len(self.lines[last].tails[-1]) > 1)
        return "next, narrated" if narrated else "next"
