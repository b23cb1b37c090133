"""The characters of a book, from its text: who is named, by which names, man or woman, and who tells it."""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from persona_exp.corpus.book import Book
from persona_exp.corpus.cast.names import Names, find_names, key_of
from persona_exp.corpus.cast.ner import find_persons
from persona_exp.corpus.cast.people import Person, find_people
from persona_exp.corpus.cast.titles import TITLES
from persona_exp.corpus.quotation.quotes import Quote, find_all_quotes
from persona_exp.corpus.reading.paragraphs import Paragraph, find_paragraphs
from persona_exp.corpus.speakers import NARRATOR, Character
from persona_exp.errors import UserError

# A name must be met so often to be a character's, unless it stands beside a verb of saying.
FEWEST = 3
# "I" and "me" in a thousand words of narration that make it a narrator's.
FIRST_PERSON_PER_THOUSAND = 5.0
FIRST_PERSON = re.compile(r"\b(?:I|me|my|myself)\b")
I_SAID = re.compile(
    r"[\s,;:.—–-]*(?:I\s+(?:\w+ly\s+)?(?:said|asked|answered|cried|replied|remarked|exclaimed|inquired|suggested|murmured|observed)\b|"
    r"(?:said|asked|cried|answered|replied|remarked)\s+I\b)"
)
MY_NAME = re.compile(r"\b[Mm]y\s+(?:own\s+)?name\s+(?:is|was)\s+((?:[A-Z][\w.’'-]+\s?){1,4})")
TOLD_BY = re.compile(
    r"\b(?:[Rr]eminiscences|[Mm]emoirs|[Jj]ournal|[Nn]arrative|[Dd]iary|[Rr]ecollections)\s+of\s+((?:[A-Z][\w.’'-]+,?\s+){1,4})"
)
HEAD = 4000
# How much of what is said of a narrator by name stands in speech.
IN_SPEECH = 0.8
COLUMNS = ("name", "aliases", "gender")
GENDERS = {"m": "male", "male": "male", "man": "male", "f": "female", "female": "female", "woman": "female"}
YES = frozenset(("1", "true", "yes", "y", "x"))


def find_characters(book: Book, given: Sequence[Character] = (), ner: bool = False) -> list[Character]:
    """The characters of `book`: the `given` ones first, then those the text names, most often named first.

    Given characters keep name, gender and whether they narrate, and get the other names by which the text calls them. A book told in the
    first person has a narrator: the character whom others address and the narration does not name, else one called `NARRATOR`. With
    `ner`, names that a spaCy model takes for persons count too. UserError: `ner` without a model installed.
    """
    chapters = [find_paragraphs(book.text, chapter.start, chapter.end) for chapter in book.chapters]
    return cast_of(
        book.text, list(chain.from_iterable(chapters)), list(chain.from_iterable(find_all_quotes(book.text, chapters))), given, ner
    )


def cast_of(
    text: str, paragraphs: Sequence[Paragraph], quotes: Sequence[Quote], given: Sequence[Character] = (), ner: bool = False
) -> list[Character]:
    """`find_characters` for `paragraphs` whose `quotes` are found already."""
    said = [span for quote in quotes for span in quote.spans]
    names = find_names(text, paragraphs, said)
    persons = frozenset(key_of(name) for name in find_persons(text, paragraphs)) if ner else frozenset()
    known = [[key for alias in (one.name, *one.aliases) if _is_name(alias) for key in [key_of(alias)] if key[1]] for one in given]
    people = [one for one in find_people(names, known) if one.owner is not None or _is_person(one) or persons & set(one.keys)]
    telling = None if any(one.narrator for one in given) else _narrator(text, paragraphs, quotes, names, people)
    characters = [replace(one) for one in given]
    for person in people:
        aliases = _aliases(person, names)
        if person.owner is None:
            characters.append(Character(aliases[0], tuple(aliases[1:]), person is telling, person.gender))
        else:
            own = characters[person.owner]
            added = [alias for alias in aliases if alias not in (own.name, *own.aliases)]
            gender = own.gender or person.gender
            characters[person.owner] = replace(
                own, aliases=(*own.aliases, *added), gender=gender, narrator=own.narrator or person is telling
            )
    if telling is None and not any(one.narrator for one in given) and is_told(text, paragraphs, said):
        characters.append(Character(NARRATOR, (), True))
    return characters


def _is_name(alias: str) -> bool:
    return alias[:1].isupper() and alias.casefold() not in TITLES


def _is_person(person: Person) -> bool:
    form = person.form
    if form.sure < 2 and not (form.says and form.sure) and not (form.says > 1):
        return False
    titled = person.titles.total() > 0
    if form.says > 1 or (form.says and form.articles <= form.total / 2) or (titled and form.total >= 2):
        return True
    if form.articles > form.total / 2:
        return False
    pronouns = form.men + form.women
    return form.total >= FEWEST and (form.addressed >= 2 or form.acts + min(pronouns, 2) >= max(2, form.total / 8))


def _aliases(person: Person, names: Names) -> list[str]:
    """All names of a person as the text spells them: the fullest frequent one first, then by frequency."""
    spelled: Counter[str] = Counter()
    articled: Counter[str] = Counter()
    for key in person.keys:
        for spelling, count in names.spellings.get(key, Counter()).items():
            spelled[spelling] += count
        form = names.forms.get(key)
        if form and form.articles > form.total / 2:
            articled[f"the {' '.join(key[1])}"] = form.articles
    by_count = sorted(spelled, key=lambda spelling: (-spelled[spelling], spelling))
    if not by_count:
        return []
    most = spelled[by_count[0]]
    full = [one for one in by_count if len(key_of(one)[1]) > 1]
    if {"sir", "lady"} & set(person.titles):
        full = [one for one in full if key_of(one)[0] in ("sir", "lady")]
    given = {words[0] for title, words in person.keys if len(words) == 1}
    bare = [one for one in full if not key_of(one)[0] and spelled[one] * (200 if key_of(one)[1][0] in given else 30) >= most]
    titled = [one for one in by_count if key_of(one)[0] and spelled[one] * 10 >= most]
    first = (bare or [one for one in full if spelled[one] * 10 >= most] or titled or by_count)[0]
    return [first, *(one for one in by_count if one != first), *sorted(articled, key=lambda one: (-articled[one], one))]


def is_told(text: str, paragraphs: Sequence[Paragraph], said: Sequence[tuple[int, int]]) -> bool:
    """Whether the narration, what is not `said`, is somebody's: it says "I"."""
    told = words = 0
    place = 0
    for paragraph in paragraphs:
        begin = paragraph.start
        while place < len(said) and said[place][0] < paragraph.end:
            start, end = said[place]
            told += len(FIRST_PERSON.findall(text, begin, max(begin, start)))
            words += text.count(" ", begin, max(begin, start)) + text.count("\n", begin, max(begin, start))
            begin = min(max(begin, end), paragraph.end)
            place += 1
        told += len(FIRST_PERSON.findall(text, begin, paragraph.end))
        words += text.count(" ", begin, paragraph.end) + text.count("\n", begin, paragraph.end)
    return told * 1000 >= FIRST_PERSON_PER_THOUSAND * max(words, 1) and told >= 5


def _narrator(text: str, paragraphs: Sequence[Paragraph], quotes: Sequence[Quote], names: Names, people: Sequence[Person]) -> Person | None:
    """Whom the others address in scenes where "I said" answers, and the narration hardly names; or who says "My name is …" there or
    is named at the head ("the reminiscences of …")."""
    said = [span for quote in quotes for span in quote.spans]
    if not is_told(text, paragraphs, said):
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
    told = [match[1] for match in TOLD_BY.finditer(text, 0, HEAD)]
    starts = {start for start, _ in said}
    told += [match[1] for match in MY_NAME.finditer(text) if not starts.intersection(range(match.start() - 3, match.start() + 1))]
    for name in told:
        _, words = key_of(name.strip().rstrip("."))
        for index in {person_of[key] for key in sorted(person_of) if words and key[1][-1] == words[-1]}:
            score[index] += 5
    best = min(score, key=lambda index: (-score[index], index), default=None)
    return people[best] if best is not None and score[best] >= 2 else None


def _answered(text: str, quotes: Sequence[Quote]) -> frozenset[int]:
    """The quotes before and behind one that the narrator says."""
    own = [index for index, quote in enumerate(quotes) if any(I_SAID.match(text, end + 1) for _, end in quote.spans)]
    return frozenset(near for index in own for near in (index - 1, index + 1))


def read_cast(path: Path, book: str | None = None) -> list[Character]:
    """The characters that a CSV file lists: columns name, aliases (parted by ";"), gender (M, F or something else), and if wanted narrator
    (yes) and book (a file's name: with `book` given, rows of other books are left out). One person listed for several books is one.

    UserError: the file cannot be read, has no such columns, or a row without a name.
    """
    found: dict[str, Character] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            missing = [column for column in COLUMNS if column not in (rows.fieldnames or ())]
            if missing:
                raise UserError(f"The cast {path} has no column {missing[0]}; its first line must name {', '.join(COLUMNS)}.")
            for row in rows:
                if book is not None and row.get("book") and Path(row["book"]).stem != Path(book).stem:
                    continue
                name = " ".join((row["name"] or "").split())
                if not name:
                    raise UserError(f"Line {rows.line_num} of the cast {path} has no name; write one or take the line out.")
                aliases = [" ".join(alias.split()) for alias in (row["aliases"] or "").split(";") if alias.strip()]
                earlier = found.get(name, Character(name))
                found[name] = Character(
                    name,
                    tuple(dict.fromkeys((*earlier.aliases, *(alias for alias in aliases if alias != name)))),
                    earlier.narrator or (row.get("narrator") or "").strip().casefold() in YES,
                    earlier.gender or GENDERS.get((row["gender"] or "").strip().casefold()),
                )
    except (OSError, UnicodeDecodeError, csv.Error):
        raise UserError(f"The cast {path} cannot be read; give a CSV file in UTF-8.") from None
    if not found and book is None:
        raise UserError(f"The cast {path} lists nobody; write a line for each character.")
    return list(found.values())
