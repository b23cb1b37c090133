"""Who speaks: each quotation gets the speaker that the words beside it name, with the rule that said so and how far to trust it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from persona_exp.corpus.cues import NAME, PRONOUN, Cue, cue_after, cue_before
from persona_exp.corpus.paragraphs import Paragraph, flow
from persona_exp.corpus.quotes import Quote, Span, part

NARRATOR = "the narrator"
# A speaker, None where the cue names nobody, and the rule.
Decision = tuple[str | None, str]
# How often each rule is right about a named speaker, at the least: tests/corpus/test_speakers.py holds it on the bundled gold file.
CONFIDENCE = {"verb-subject": 0.99, "subject-verb": 0.98, "introduced": 0.9}
SENTENCE = re.compile(rf"(?:^|(?<=[.!?;”\"])\s*|(?<=[.!?;])[”\"]?\s+)(?P<subject>I\b|(?i:{PRONOUN})|{NAME}|The\s+\w+)")


@dataclass(frozen=True)
class Character:
    """Somebody who may speak: `aliases` are the other forms of the name that narration uses; the `narrator` is its "I";
    `gender` is "male", "female" or None where nothing tells."""

    name: str
    aliases: tuple[str, ...] = ()
    narrator: bool = False
    gender: str | None = None


def attribute(quotes: Sequence[Quote], text: str, paragraphs: Sequence[Paragraph], cast: Sequence[Character]) -> list[Quote]:
    """`quotes` with their speakers. An utterance whose pieces are given to different speakers is cut between them.

    A speaker in `cast` is called by the cast's name, whichever alias the text uses; another named one as the text names it; "I" is the
    cast's narrator, else `NARRATOR`. A pronoun or a description ("the old man") decides nothing: such quotes keep the rule "pronoun" or
    "description" and no speaker, for finer rules to decide.
    """
    names = _names(cast)
    decided: list[Quote] = []
    for quote in quotes:
        if quote.rule == "malformed":
            decided.append(quote)
        else:
            decided += _decide(quote, text, paragraphs, names)
    return decided


def _names(cast: Sequence[Character]) -> dict[str, str]:
    names = {"i": NARRATOR}
    for character in cast:
        for alias in (character.name, *character.aliases):
            names[alias.casefold()] = character.name
        if character.narrator:
            names["i"] = character.name
    return names


def paragraph_of(paragraphs: Sequence[Paragraph], quote: Quote, place: int) -> int:
    """The index of the paragraph of `quote` that the offset `place` is in."""
    return next(index for index in range(quote.first, quote.last + 1) if place <= paragraphs[index].end)


def _decide(quote: Quote, text: str, paragraphs: Sequence[Paragraph], names: Mapping[str, str]) -> list[Quote]:
    where = [paragraph_of(paragraphs, quote, start) for start, _ in quote.spans]
    cues = _cues(quote, text, paragraphs, where)
    found = [_resolve(cue, names) if cue else None for cue in cues]
    groups: list[tuple[list[int], Decision | None]] = []
    for index in range(len(quote.spans)):
        own = found[index]
        fresh = not groups
        if not fresh:
            held = groups[-1][1]
            between = text[quote.spans[index - 1][1] : quote.spans[index][0]]
            goes_on = held is not None and (own is None or own[1] == "pronoun")
            fresh = _conflict(held, own) or (goes_on and held is not None and _someone_else_acts(between, held[0], names))
        if fresh:
            groups.append(([index], own))
        else:
            groups[-1][0].append(index)
            groups[-1] = (groups[-1][0], groups[-1][1] or own)
    decided = []
    for members, answer in groups:
        spans: tuple[Span, ...] = tuple(quote.spans[member] for member in members)
        piece = quote if len(groups) == 1 else part(quote, text, spans, (where[members[0]], where[members[-1]]))
        if answer is None:
            decided.append(piece)
        else:
            speaker, rule = answer
            decided.append(replace(piece, speaker=speaker, rule=rule, confidence=CONFIDENCE.get(rule, 0.0) if speaker else 0.0))
    return decided


def _conflict(held: Decision | None, own: Decision | None) -> bool:
    """Whether two cues in one utterance may mean two speakers. A pronoun that follows a name takes the name up again."""
    if held is None or own is None or held[0] == own[0]:
        return False
    return not (held[0] is not None and own[1] == "pronoun")


def _cues(quote: Quote, text: str, paragraphs: Sequence[Paragraph], where: Sequence[int]) -> list[Cue | None]:
    """For each piece the cue behind it, else the one before it."""
    cues: list[Cue | None] = []
    for index, (start, end) in enumerate(quote.spans):
        paragraph = paragraphs[where[index]]
        following = quote.spans[index + 1][0] if index + 1 < len(quote.spans) else paragraph.end
        after = _outside(text[end : min(following, paragraph.end)])
        cue = cue_after(after, text[start:end])
        if cue is None:
            previous = quote.spans[index - 1][1] if index else paragraph.start
            before = _outside(text[max(previous, paragraph.start) : start])
            if not before and not index and where[0] and paragraphs[where[0] - 1].scene == paragraph.scene:
                # "…he turned to us and began:—" and the speech in the next paragraph.
                earlier = paragraphs[where[0] - 1]
                lead = text[earlier.start : earlier.end]
                before = flow(lead) if re.search(r"(?::|:?—|--)$", lead) and not re.search('[“”"]', lead) else ""
            cue = cue_before(before) if before else None
        cues.append(cue)
    return cues


def _outside(narration: str) -> str:
    """Narration without the marks at its ends."""
    return flow(narration.strip('“”" \n\t'))


def _resolve(cue: Cue, names: Mapping[str, str]) -> Decision:
    """Speaker and rule; a pronoun or a description that is nobody's alias names no one."""
    subject = cue.subject.casefold()
    if subject in names:
        return names[subject], cue.rule
    if re.fullmatch(PRONOUN, subject):
        return None, "pronoun"
    if cue.subject[:1].isupper() and not re.match(r"(?:The|My|Our|His|Her|An?|This|That|One|Another|Both)\s", cue.subject):
        return cue.subject, cue.rule
    return None, "description"


def _subjects(narration: str, names: Mapping[str, str]) -> list[str | None]:
    """Who the sentences of `narration` begin with, None for a pronoun."""
    found: list[str | None] = []
    for match in SENTENCE.finditer(narration):
        subject = flow(match["subject"])
        if not re.match(r"[’']s", narration[match.end() :]):
            pronoun = re.fullmatch(PRONOUN, subject.casefold())
            found.append(None if pronoun else names.get(subject.casefold(), subject))
    return found


def _someone_else_acts(between: str, speaker: str | None, names: Mapping[str, str]) -> bool:
    """Whether the narration between two pieces turns to somebody who is not the speaker of the first."""
    return any(subject is not None and subject != speaker for subject in _subjects(_outside(between), names))
