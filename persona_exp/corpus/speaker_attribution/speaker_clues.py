"""Clues to a line's speaker in the narration beside it: "said Holmes", "he heard her say", what a person does, who is silent."""

from dataclasses import dataclass

from persona_exp.corpus.speaker_attribution.narration_parser import (
    DESCRIPTION,
    MANY,
    NAME,
    NARRATOR_I,
    OUTSIDER,
    SENTENCE_ENDS,
    Mention,
    Sentence,
)
from persona_exp.corpus.speaker_attribution.quote_context import DialogueLine, NarratedParagraph
from persona_exp.corpus.word_lists.function_words import ADVERBS, AUXILIARIES
from persona_exp.corpus.word_lists.speech_verbs import ANSWERS, HEARING, INFINITIVES, PARTICIPLES, WEAK_SAYING


@dataclass(slots=True)
class Clue:
    """`mention` is who speaks by the rule `rule`; `others` are people whom the same sentence mentions as not speaking."""

    mention: Mention
    rule: str
    others: list[Mention]
    part: int = 0


COORDINATE = frozenset(("", ";", "and", "but", "then", ":", "--", "—", "so"))
CUES = ("verb-subject", "subject-verb", "introduced")


def find_clues(line: DialogueLine, before: NarratedParagraph | None) -> list[Clue]:
    """Return the clues of `line`, the strongest first; `before` is the paragraph before its own when that leads up to it."""
    found: list[Clue] = []
    for part, sentences in enumerate(line.tails):
        if sentences:
            clue = _behind(sentences, line.ends[part], part)
            if clue:
                found.append(clue)
    if line.lead:
        clue = _ahead(line.lead)
        if clue:
            found.append(clue)
    elif before is not None and before.narration:
        clue = _ahead(before.narration)
        if clue:
            found.append(clue)
    found.sort(key=lambda clue: clue.rule not in CUES)
    return found


def _behind(sentences: list[Sentence], end: str, part: int) -> Clue | None:
    """Return the clue in the narration behind a piece that ends on the mark `end`."""
    first = sentences[0]
    if _silent(first):
        return Clue(first.subject, "silent", [], part) if first.subject else None
    lower = first.words[0][0].islower() or first.words[0] == "I" or not first.words[0][0].isalnum()
    open_end = end not in ".:" or first.words[0][0].islower()
    if open_end:
        said = speaker_in(first, strict=end in "!?" and not lower, start=True)
        if said:
            mention, inverted = said
            return Clue(mention, "verb-subject" if inverted else "subject-verb", _objects(first, mention), part)
    subject = first.subject
    if subject is None:
        return None
    beat = lower and open_end and subject.first <= 2
    return Clue(subject, "beat" if beat else "action-after", _objects(first, subject), part)


def _ahead(sentences: list[Sentence]) -> Clue | None:
    """Return the clue in the narration that leads up to a piece."""
    last = sentences[-1]
    if _silent(last) and last.ending in SENTENCE_ENDS:
        return Clue(last.subject, "silent", []) if last.subject else None
    leads = last.ending not in (".", "!", "?")
    if leads:
        said = speaker_in(last, strict=False, start=False)
        if said:
            return Clue(said[0], "introduced", _objects(last, said[0]))
    subject = last.subject
    if subject is None:
        return None
    return Clue(subject, "lead" if leads else "action", _objects(last, subject))


def _silent(sentence: Sentence) -> bool:
    """Return whether the sentence says that a person does not speak: "Holmes said nothing", "she made no answer"."""
    lows = sentence.lows
    for place in range(len(lows) - 1):
        if lows[place] in ("said", "answered", "replied") and lows[place + 1] in ("nothing", "not"):
            return True
        if lows[place] == "no" and lows[place + 1] in ("answer", "reply", "response", "remark"):
            return True
        if lows[place] in ("not", "never") and lows[place + 1] in ("answer", "speak", "reply"):
            return True
    return False


def _objects(sentence: Sentence, speaker: Mention) -> list[Mention]:
    return [mention for mention in sentence.mentions if mention is not speaker and not mention.subject]


def speaker_in(sentence: Sentence, strict: bool, start: bool) -> tuple[Mention, bool] | None:
    """Return who says something in `sentence`, and whether the verb stands before its subject. `start`: the cue opens the sentence (it
    follows speech); else the last one counts. `strict`: verbs that need no speech do not count."""
    lows = sentence.lows
    answer = _answer(sentence) if start else None
    if answer:
        return answer, True
    heard = _heard(sentence)
    if heard and (not start or heard.last <= 8):
        return heard, False
    verbs = sentence.verbs if start else list(reversed(sentence.verbs))
    for verb in verbs:
        weak = lows[verb] in WEAK_SAYING
        if strict and weak:
            continue
        direct = _direct(sentence, verb)
        follows = _behind_verb(sentence, verb, start) if direct is None else None
        if follows is not None:
            return follows, True
        subject = direct or _relative(sentence, verb) or _clause_subject(sentence, verb)
        if subject is None:
            continue
        if start and weak and (subject.first > 2 or verb - subject.last > 3):
            continue
        if lows[verb + 1 : verb + 2] in (["nothing"], ["no"]):
            continue
        return subject, False
    return None


def _behind_verb(sentence: Sentence, verb: int, start: bool) -> Mention | None:
    """Return the subject that stands behind its verb: "said Holmes"; of kind MANY where there are two."""
    lows = sentence.lows
    after = verb + 1
    while after < len(lows) and (lows[after] in ADVERBS or lows[after].endswith("ly") or lows[after] in ("old", "poor", "little", "young")):
        after += 1
    follows = next((mention for mention in sentence.mentions if mention.first == after), None)
    if follows is None or not (follows.subject or follows.kind in (NAME, DESCRIPTION, OUTSIDER)):
        return None
    if lows[verb] in PARTICIPLES or (start and verb > 3 and lows[verb] in WEAK_SAYING):
        return None
    earlier = next((mention for mention in sentence.mentions if mention.subject and mention.last <= verb), None)
    if earlier is not None and earlier.last >= verb - 8 and verb > 2:
        return None
    follows.subject = True
    joined = lows[follows.last : follows.last + 1] == ["and"]
    if joined and any(one.first == follows.last + 1 and one.kind in (NAME, NARRATOR_I, OUTSIDER) for one in sentence.mentions):
        return Mention(MANY, follows.first, follows.last)
    return follows


def _answer(sentence: Sentence) -> Mention | None:
    """Return whose answer it was: "was Mrs. Weston's parting question", "burst from William"."""
    lows = sentence.lows
    if lows[0] not in ("was", "were", "came", "burst", "is") or len(lows) < 3:
        return None
    mention = next(iter(sentence.mentions), None)
    if mention is None or mention.first > 4:
        return None
    if any(low in ANSWERS for low in lows[mention.first : mention.last + 4]) and (mention.possessive or mention.words in ("his", "her")):
        return mention
    return mention if lows[mention.first - 1] == "from" else None


def _heard(sentence: Sentence) -> Mention | None:
    """Return who is heard: "he heard Katharine say", "she heard Miss Bates saying"."""
    lows = sentence.lows
    for mention in sentence.mentions:
        # "a chance for Mr. Pell to come up and ask"
        asked_to = mention.first and lows[mention.first - 1] == "for" and lows[mention.last : mention.last + 1] == ["to"]
        if asked_to and any(low in INFINITIVES for low in lows[mention.last : mention.last + 8]):
            return mention
        # "without Wrexham's heaving a sigh and saying"
        if mention.possessive and lows[mention.last : mention.last + 1] and lows[mention.last].endswith("ing") and sentence.ending != ".":
            return mention
    for earlier, mention in zip(sentence.mentions, sentence.mentions[1:], strict=False):
        after = mention.last
        while after < len(lows) and lows[after] in ADVERBS:
            after += 1
        says = after < len(lows) and (lows[after] in INFINITIVES or lows[after] in PARTICIPLES)
        if says and any(low in HEARING for low in lows[earlier.last : mention.first]):
            return mention
    return None


def _direct(sentence: Sentence, verb: int) -> Mention | None:
    """Return the mention right before the verb, with nothing but adverbs and auxiliaries between."""
    place = verb
    lows = sentence.lows
    while place > 0 and (lows[place - 1] in ADVERBS or lows[place - 1] in AUXILIARIES or lows[place - 1].endswith("ly")):
        place -= 1
    for mention in sentence.mentions:
        if mention.last == place and mention.subject:
            return mention
    return None


def _clause_subject(sentence: Sentence, verb: int) -> Mention | None:
    """Return the subject of the main clause that `verb` stands in: the last one that opens a clause, else the first."""
    lows = sentence.lows
    subjects = [mention for mention in sentence.mentions if mention.subject and mention.last <= verb]
    for mention in reversed(subjects):
        before = lows[mention.first - 1] if mention.first else ""
        if before in COORDINATE:
            return mention
    return subjects[0] if subjects else None


def _relative(sentence: Sentence, verb: int) -> Mention | None:
    """Return whom "who said" takes up: "to Mr. Pell, who answered quietly"."""
    lows = sentence.lows
    for mention in reversed(sentence.mentions):
        after = mention.last
        if after > verb:
            continue
        if after < len(lows) and lows[after] == ",":
            after += 1
        if after < len(lows) and lows[after] == "who" and (verb - after <= 2 or all(low[0].isalnum() for low in lows[after:verb])):
            return mention
        return None
    return None
