"""The characters of a book, from its text: who is named, by which names, man or woman, and who narrates."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

from persona_exp.corpus.book import Book
from persona_exp.corpus.cast.alias_clustering import Person, cluster_aliases
from persona_exp.corpus.cast.character import NARRATOR, Character
from persona_exp.corpus.cast.first_person_narrator import find_narrator, is_first_person
from persona_exp.corpus.cast.name_recognition import RecognisedNames, find_names, name_key
from persona_exp.corpus.cast.spacy_person_names import find_person_names
from persona_exp.corpus.quotation.quotes import Quote, find_all_quotes
from persona_exp.corpus.reading.paragraphs_and_scenes import Paragraph, find_paragraphs
from persona_exp.corpus.word_lists.name_titles import TITLE_KEYS

# A name must be met so often to be a character's, unless it stands beside a verb of saying.
FEWEST = 3


def find_characters(book: Book, given: Sequence[Character] = (), ner: bool = False) -> list[Character]:
    """Return the characters of `book`: the `given` ones first, then those the text names, most often named first.

    Given characters keep name, gender and whether they narrate, and get the other names by which the text calls them. A book in the
    first person has a narrator: the character whom others address and the narration does not name, else one called `NARRATOR`. With
    `ner`, names that a spaCy model takes for persons count too. Raise UserError if no model is installed for `ner`.
    """
    chapters = [find_paragraphs(book.text, chapter.start, chapter.end) for chapter in book.chapters]
    return characters_in(
        book.text, list(chain.from_iterable(chapters)), list(chain.from_iterable(find_all_quotes(book.text, chapters))), given, ner
    )


def characters_in(
    text: str, paragraphs: Sequence[Paragraph], quotes: Sequence[Quote], given: Sequence[Character] = (), ner: bool = False
) -> list[Character]:
    """Return what `find_characters` does, for `paragraphs` whose `quotes` are found already."""
    said = [span for quote in quotes for span in quote.spans]
    names = find_names(text, paragraphs, said)
    persons = frozenset(name_key(name) for name in find_person_names(text, paragraphs)) if ner else frozenset()
    known = [[key for alias in (one.name, *one.aliases) if _is_name(alias) for key in [name_key(alias)] if key[1]] for one in given]
    people = [one for one in cluster_aliases(names, known) if one.owner is not None or _is_person(one) or persons & set(one.keys)]
    telling = None if any(one.narrator for one in given) else find_narrator(text, paragraphs, quotes, names, people)
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
    if telling is None and not any(one.narrator for one in given) and is_first_person(text, paragraphs, said):
        characters.append(Character(NARRATOR, (), True))
    return characters


def _is_name(alias: str) -> bool:
    return alias[:1].isupper() and alias.casefold() not in TITLE_KEYS


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


def _aliases(person: Person, names: RecognisedNames) -> list[str]:
    """Return all names of a person as the text spells them: the fullest frequent one first, then by frequency."""
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
    full = [one for one in by_count if len(name_key(one)[1]) > 1]
    if {"sir", "lady"} & set(person.titles):
        full = [one for one in full if name_key(one)[0] in ("sir", "lady")]
    given = {words[0] for title, words in person.keys if len(words) == 1}
    bare = [one for one in full if not name_key(one)[0] and spelled[one] * (200 if name_key(one)[1][0] in given else 30) >= most]
    titled = [one for one in by_count if name_key(one)[0] and spelled[one] * 10 >= most]
    first = (bare or [one for one in full if spelled[one] * 10 >= most] or titled or by_count)[0]
    return [first, *(one for one in by_count if one != first), *sorted(articled, key=lambda one: (-articled[one], one))]
