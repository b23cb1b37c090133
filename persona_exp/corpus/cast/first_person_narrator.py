"""Whether a book is in the first person, and which of its characters narrates it."""

import re
from collections import Counter
from collections.abc import Sequence

from persona_exp.corpus.cast.alias_clustering import Person
from persona_exp.corpus.cast.name_recognition import RecognisedNames, name_key
from persona_exp.corpus.quotation.quotes import Quote
from persona_exp.corpus.reading.paragraphs_and_scenes import Paragraph

# "I" and "me" in a thousand words of narration that make it a narrator's.
FIRST_PERSON_PER_THOUSAND = 5.0
FIRST_PERSON = re.compile(r"\b(?:I|me|my|myself)\b")
I_SAID = re.compile(
    r"[\s,;:.—–-]*(?:I\s+(?:\w+ly\s+)?(?:said|asked|answered|cried|replied|remarked|exclaimed|inquired|suggested|murmured|observed)\b|"
    r"(?:said|asked|cried|answered|replied|remarked)\s+I\b)"
)
MY_NAME = re.compile(r"\b[Mm]y\s+(?:own\s+)?name\s+(?:is|was)\s+((?:[A-Z][\w.’'-]+\s?){1,4})")
MEMOIRS_OF = re.compile(
    r"\b(?:[Rr]eminiscences|[Mm]emoirs|[Jj]ournal|[Nn]arrative|[Dd]iary|[Rr]ecollections)\s+of\s+((?:[A-Z][\w.’'-]+,?\s+){1,4})"
)
HEAD = 4000
# How much of what is said of a narrator by name stands in speech.
IN_SPEECH = 0.8


def is_first_person(text: str, paragraphs: Sequence[Paragraph], said: Sequence[tuple[int, int]]) -> bool:
    """Return whether the narration, what is not `said`, is a person's: it says "I"."""
    first_person = words = 0
    place = 0
    for paragraph in paragraphs:
        begin = paragraph.start
        while place < len(said) and said[place][0] < paragraph.end:
            start, end = said[place]
            first_person += len(FIRST_PERSON.findall(text, begin, max(begin, start)))
            words += text.count(" ", begin, max(begin, start)) + text.count("\n", begin, max(begin, start))
            begin = min(max(begin, end), paragraph.end)
            place += 1
        first_person += len(FIRST_PERSON.findall(text, begin, paragraph.end))
        words += text.count(" ", begin, paragraph.end) + text.count("\n", begin, paragraph.end)
    return first_person * 1000 >= FIRST_PERSON_PER_THOUSAND * max(words, 1) and first_person >= 5


def find_narrator(
    text: str, paragraphs: Sequence[Paragraph], quotes: Sequence[Quote], names: RecognisedNames, people: Sequence[Person]
) -> Person | None:
    """Return whom the others address in scenes where "I said" answers, and the narration hardly names; or who says "My name is …" there or
    is named at the head ("the reminiscences of …")."""
    said = [span for quote in quotes for span in quote.spans]
    if not is_first_person(text, paragraphs, said):
        return None
    may_be = {
        index
        for index, person in enumerate(people)
        if person.form.says == 0 and person.form.narrated <= (1 - IN_SPEECH) * max(person.form.total, 1)
    }
    person_of = {key: index for index, person in enumerate(people) for key in person.keys if index in may_be}
    score: Counter[int] = Counter()
    near = _answered(text, quotes)
    place = 0
    for start, key in names.vocatives:
        while place < len(quotes) and quotes[place].end <= start:
            place += 1
        if key in person_of and place in near:
            score[person_of[key]] += 1
    stated = [match[1] for match in MEMOIRS_OF.finditer(text, 0, HEAD)]
    starts = {start for start, _ in said}
    stated += [match[1] for match in MY_NAME.finditer(text) if not starts.intersection(range(match.start() - 3, match.start() + 1))]
    for name in stated:
        _, words = name_key(name.strip().rstrip("."))
        for index in {person_of[key] for key in sorted(person_of) if words and key[1][-1] == words[-1]}:
            score[index] += 5
    best = min(score, key=lambda index: (-score[index], index), default=None)
    return people[best] if best is not None and score[best] >= 2 else None


def _answered(text: str, quotes: Sequence[Quote]) -> frozenset[int]:
    """Return the quotes before and behind one that the narrator says."""
    own = [index for index, quote in enumerate(quotes) if any(I_SAID.match(text, end + 1) for _, end in quote.spans)]
    return frozenset(near for index in own for near in (index - 1, index + 1))
