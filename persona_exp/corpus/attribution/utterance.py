"""Utterances cut where the narration between their pieces turns to another speaker."""

from collections.abc import Sequence

from persona_exp.corpus.attribution.evidence import CUES, Clue
from persona_exp.corpus.attribution.layout import Line
from persona_exp.corpus.attribution.narration import DESCRIPTION, NAME, NARRATOR_I, OUTSIDER, Mention
from persona_exp.corpus.quotation.quotes import Quote, Span, part
from persona_exp.corpus.reading.paragraphs import Paragraph


def paragraph_of(paragraphs: Sequence[Paragraph], quote: Quote, place: int) -> int:
    """The index of the paragraph of `quote` that the offset `place` is in."""
    return next(index for index in range(quote.first, quote.last + 1) if place <= paragraphs[index].end)


def parted(line: Line, clues: Sequence[Clue], text: str, paragraphs: Sequence[Paragraph]) -> list[Quote]:
    """The line's quotation, whole or in parts that may have different speakers."""
    quote = line.quote
    if len(quote.spans) == 1:
        return [quote]
    cue_of = {clue.part: clue.mention for clue in clues if clue.rule in CUES and clue.rule != "introduced"}
    groups: list[list[int]] = [[0]]
    held = cue_of.get(0)
    for index in range(1, len(quote.spans)):
        own = cue_of.get(index)
        if _someone_else(held, own) or ((own is None or not _same(held, own)) and _turns(line, index, held)):
            groups.append([index])
            held = own
        else:
            groups[-1].append(index)
            held = held or own
    if len(groups) == 1:
        return [quote]
    found = []
    for members in groups:
        spans: tuple[Span, ...] = tuple(quote.spans[member] for member in members)
        ends = (paragraph_of(paragraphs, quote, spans[0][0]), paragraph_of(paragraphs, quote, spans[-1][0]))
        found.append(part(quote, text, spans, ends))
    return found


def _named(mention: Mention | None) -> bool:
    return mention is not None and mention.kind in (NAME, NARRATOR_I, OUTSIDER)


def _same(one: Mention | None, other: Mention | None) -> bool:
    if one is None or other is None:
        return False
    if one.kind == NAME and other.kind == NAME:
        return bool(set(one.people) & set(other.people))
    return one.kind == other.kind and one.words == other.words


def _someone_else(held: Mention | None, own: Mention | None) -> bool:
    """Whether two cues name two people. A pronoun that follows a name takes the name up again."""
    if held is None or own is None or _same(held, own):
        return False
    return (_named(held) or held.kind == DESCRIPTION) and (_named(own) or own.kind == DESCRIPTION)


def _turns(line: Line, index: int, held: Mention | None) -> bool:
    """Whether the last sentence before piece `index` tells of somebody who is not the speaker so far."""
    between = line.tails[index - 1]
    if held is None or not between:
        return False
    subject = between[-1].subject
    if subject is None or subject is held or subject.kind not in (NAME, NARRATOR_I, OUTSIDER, DESCRIPTION):
        return False
    if len(between) == 1 and index - 1 == 0 and between[0].subject is held:
        return False
    return not _same(subject, held) and (_named(held) or held.kind == DESCRIPTION)
