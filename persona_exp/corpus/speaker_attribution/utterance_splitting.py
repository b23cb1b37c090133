"""Utterances cut where the narration between their pieces turns to another speaker."""

from collections.abc import Sequence

from persona_exp.corpus.quotation.quotes import Quote, Span, cut_to_spans
from persona_exp.corpus.reading.paragraphs_and_scenes import Paragraph
from persona_exp.corpus.speaker_attribution.narration_parser import DESCRIPTION, NAME, NARRATOR_I, OUTSIDER, Mention
from persona_exp.corpus.speaker_attribution.quote_context import DialogueLine
from persona_exp.corpus.speaker_attribution.speaker_clues import CUES, Clue


def split_utterance(line: DialogueLine, clues: Sequence[Clue], text: str, paragraphs: Sequence[Paragraph]) -> list[Quote]:
    """Return the line's quotation, whole or in parts that may have different speakers."""
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
    for indices in groups:
        spans: tuple[Span, ...] = tuple(quote.spans[index] for index in indices)
        found.append(cut_to_spans(quote, text, spans, paragraphs))
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
    """Return whether two cues name two people. A pronoun that follows a name takes the name up again."""
    if held is None or own is None or _same(held, own):
        return False
    return (_named(held) or held.kind == DESCRIPTION) and (_named(own) or own.kind == DESCRIPTION)


def _turns(line: DialogueLine, index: int, held: Mention | None) -> bool:
    """Return whether the last sentence before piece `index` tells of a person who is not the speaker so far."""
    between = line.tails[index - 1]
    if held is None or not between:
        return False
    subject = between[-1].subject
    if subject is None or subject is held or subject.kind not in (NAME, NARRATOR_I, OUTSIDER, DESCRIPTION):
        return False
    if len(between) == 1 and index - 1 == 0 and between[0].subject is held:
        return False
    return not _same(subject, held) and (_named(held) or held.kind == DESCRIPTION)
