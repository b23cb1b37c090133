"""Which names mean the same person: "Lizzy", "Miss Elizabeth Bennet" and "Elizabeth" become one."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from persona_exp.corpus.cast.character_gender import gender_of_given_name, gender_of_pronouns, gender_of_title
from persona_exp.corpus.cast.name_recognition import NameCounts, NameKey, RecognisedNames
from persona_exp.corpus.word_lists.name_titles import PLAIN_TITLES, TITLE_KEYS
from persona_exp.corpus.word_lists.nicknames import NICKNAMES

# Titles that stand before a given name as readily as before a surname.
BEFORE_GIVEN = frozenset(
    ["sir", "lady", "uncle", "aunt", "brother", "sister", "father", "mother", "master", "king", "queen", "prince", "princess", "miss", "mr"]
)
# Where several people could be meant, one who is named so much more often than the next is.
DOMINANT = 2.0
# A man is called by a second title now and then ("Inspector Crane", "Mr. Crane"); two who are as often named so are two men.
RARE = 0.15
# Share of the mentions "in" or "at" which make a place of a name.
PLACE = 0.25
FEWEST_PLACES = 3
MARRIED = frozenset(("mrs", "lady", "mother", "duchess", "countess", "baroness", "queen"))


@dataclass
class Person:
    """The `keys` by which one person is called, with what was counted for them. `owner` is the index of a character known beforehand."""

    keys: list[NameKey]
    form: NameCounts
    owner: int | None = None
    titles: Counter[str] = field(default_factory=Counter)

    @property
    def gender(self) -> str | None:
        """By title, given name and pronouns."""
        for title, _ in sorted(self.titles.items(), key=lambda item: (-item[1], item[0])):
            gender = gender_of_title(title)
            if gender:
                return gender
        known = [gender for key in self.keys if key[1] and (gender := gender_of_given_name(key[1][0]))]
        return gender_of_pronouns(self.form.men, self.form.women, Counter(known).most_common(1)[0][0] if known else None)

    @property
    def surnames(self) -> list[str]:
        """The last words of the names that have two, or a title."""
        return [words[-1] for title, words in self.keys if len(words) > 1 or title]

    @property
    def givens(self) -> list[str]:
        """The first words of the names that have two."""
        return [words[0] for title, words in self.keys if len(words) > 1]


class People:
    """The people that the names of a book mean; `merge` brings two names together unless they belong to different known characters."""

    def __init__(self, names: RecognisedNames, known: Sequence[Iterable[NameKey]]) -> None:
        self.names = names
        self.person: dict[NameKey, Person] = {}
        for key, form in names.forms.items():
            counted = NameCounts()
            counted.add(form)
            self.person[key] = Person([key], counted, None, Counter({key[0]: form.total} if key[0] else {}))
        for owner, keys in enumerate(known):
            owned = None
            for key in keys:
                person = self.person.setdefault(key, Person([key], NameCounts(), None, Counter({key[0]: 1} if key[0] else {})))
                if person.owner is None:
                    person.owner = owner
                    owned = self.merge(owned, person) if owned else person

        self.bearers: dict[str, list[NameKey]] = {}
        for key in sorted(self.person):
            for word in sorted({key[1][0].casefold(), key[1][-1].casefold()}):
                self.bearers.setdefault(word, []).append(key)

    def called(self, *words: str) -> list[Person]:
        """Return those of whose names one begins or ends in one of `words`, most often named first."""
        keys = [key for word in words for key in self.bearers.get(word.casefold(), ())]
        return _by_frequency(self.person[key] for key in keys)

    def merge(self, one: Person, other: Person) -> Person:
        """Return `one` with what `other` is called too."""
        if one is other or (one.owner != other.owner and (None not in (one.owner, other.owner) or _are_two(one, other))):
            return one
        one.keys += other.keys
        one.form.add(other.form)
        one.titles += other.titles
        one.owner = other.owner if one.owner is None else one.owner
        for key in other.keys:
            self.person[key] = one
        return one

    def all(self) -> list[Person]:
        """Return everybody, most often named first."""
        return _by_frequency(self.person.values())

    def best(self, candidates: Iterable[Person], *words: str) -> Person | None:
        """Return the one candidate, or the one that is called by one of the `words` far more often than the others."""
        folded = {word.casefold() for word in words}
        counted = [(self.called_so(one, folded), one) for one in _by_frequency(candidates)]
        counted.sort(key=lambda pair: -pair[0])
        if len(counted) > 1 and counted[0][0] < DOMINANT * counted[1][0]:
            return None
        return counted[0][1] if counted else None

    def called_so(self, person: Person, words: set[str]) -> int:
        """Return how often `person` is called by a name with one of `words` in it, in lower case."""
        keys = (key for key in person.keys if words & {word.casefold() for word in key[1]})
        return sum(self.names.forms[key].total for key in keys if key in self.names.forms)


def _are_two(one: Person, other: Person) -> bool:
    """Return whether both have given names, and none in common."""
    mine, theirs = ({given.casefold() for given in person.givens} for person in (one, other))
    alike = any(a.startswith(b) or b.startswith(a) or a in NICKNAMES.get(b, ()) or b in NICKNAMES.get(a, ()) for a in mine for b in theirs)
    return bool(mine and theirs) and not alike


def _by_frequency(people: Iterable[Person]) -> list[Person]:
    unique = {id(person): person for person in people}
    return sorted(unique.values(), key=lambda person: (-person.form.total, person.keys[0]))


def cluster_aliases(names: RecognisedNames, known: Sequence[Iterable[NameKey]] = ()) -> list[Person]:
    """Return everybody whom `names` name. `known` are the names of characters known beforehand; each of them stays one person."""
    people = People(_of_people(names), known)
    _join_full_names(people)
    given = {words[0] for _, words in people.person if len(words) > 1}
    last = Counter(words[-1] for title, words in people.person if len(words) > 1 or title not in ("", *BEFORE_GIVEN))
    singles = [key for key in sorted(people.person, key=lambda key: (-people.person[key].form.total, key)) if len(key[1]) == 1]

    def is_given(word: str) -> bool:
        return word not in last and (word in given or gender_of_given_name(word) is not None or word.casefold() in NICKNAMES)

    for key in singles:
        if is_given(key[1][0]) and (not key[0] or key[0] in BEFORE_GIVEN):
            _join_given(people, key)
    _join_titled(people, [key for key in singles if key[0] and not (is_given(key[1][0]) and key[0] in BEFORE_GIVEN)])
    for key in singles:
        if not key[0] and not is_given(key[1][0]):
            _join_surname(people, key)
    for key in singles:
        if not key[0] and not people.person[key].givens:
            _join_nickname(people, key)
    return people.all()


def _of_people(names: RecognisedNames) -> RecognisedNames:
    """Return `names` without those of places and of whole families ("the Pells")."""
    last = {words[-1] for title, words in names.forms if title or len(words) > 1}
    forms = {}
    for key, form in names.forms.items():
        word = key[1][-1]
        family = len(key[1]) == 1 and word.endswith("s") and (word[:-1] in last or (word.endswith("es") and word[:-2] in last))
        place = not key[0] and form.places >= max(FEWEST_PLACES, PLACE * form.total) and 3 * form.says < form.total
        known = gender_of_given_name(word) is not None
        located = key == ("", (word,)) and not known and 5 * names.located[word] > form.total and form.says < 2 and form.addressed < 2
        kin = key == ("", (word,)) and word.casefold() in TITLE_KEYS and 2 * form.articles < form.total
        if not (family or place or located or kin):
            forms[key] = form
    return RecognisedNames(forms, names.spellings, names.vocatives, names.located)


def _agree(one: str | None, other: str | None) -> bool:
    return one is None or other is None or one == other


def _is_wife_of(key: NameKey) -> bool:
    """Return whether "Mrs. John Pell" is called by her husband's name."""
    return key[0] == "mrs" and len(key[1]) > 1 and gender_of_given_name(key[1][0]) != "female"


def _join_full_names(people: People) -> None:
    """Join "Sherlock Holmes" and "Mr. Sherlock Holmes", "Lizzy Bennet" and "Elizabeth Bennet"; not "Mrs. John Pell" and her husband."""
    first: dict[tuple[bool, str, str], NameKey] = {}
    for key in sorted(people.person, key=lambda key: (-len(key[1]), key)):
        if len(key[1]) < 2:
            continue
        wife = _is_wife_of(key)
        for given in (key[1][0].casefold(), *NICKNAMES.get(key[1][0].casefold(), ())):
            group = (wife, given, key[1][-1])
            if group in first and people.person[first[group]] is not people.person[key]:
                people.merge(people.person[first[group]], people.person[key])
            first.setdefault(group, key)


def _join_given(people: People, key: NameKey) -> None:
    """Join "Elizabeth", "Miss Elizabeth", "Lady Catherine" to the one who has that given name, where it is one."""
    own = people.person[key]
    word, gender = key[1][0], own.gender
    candidates = [
        one
        for one in people.called(word)
        if one is not own and word in one.givens and _agree(one.gender, gender) and not all(map(_is_wife_of, one.keys))
    ]
    if key[0] in ("sir", "lady", "king", "queen"):
        titled = [one for one in candidates if key[0] in one.titles]
    else:
        # "Sir William" and "William" are two.
        titled = [one for one in candidates if not {"sir", "lady"} & set(one.titles)]
    if key[0] and not titled and not candidates and ("", key[1]) in people.person:
        titled = [people.person["", key[1]]] if key[0] not in ("sir", "lady") else []
    best = people.best(titled, word)
    if best is not None:
        people.merge(best, own)


def _join_titled(people: People, keys: Sequence[NameKey]) -> None:
    """Join "Mr. Holmes", "Dr. Watson", "Miss Morstan" to the one of that surname who may be called so."""
    for key in keys:
        own, surname, gender = people.person[key], key[1][0], gender_of_title(key[0])
        bearers = [one for one in people.called(surname) if surname in one.surnames and one is not own and _agree(one.gender, gender)]
        best = people.best(_who_may_be(people, own, bearers, key), surname)
        if best is not None:
            people.merge(best, own)
    # One man under two titles, one of them rarely used.
    for key in sorted(keys, key=lambda key: (people.person[key].form.total, key)):
        own = people.person[key]
        if gender_of_title(key[0]) != "male" or own.givens:
            continue
        men = [one for one in people.called(key[1][0]) if key[1][0] in one.surnames and one is not own and one.gender == "male"]
        if len(men) == 1 and own.form.total < RARE * men[0].form.total and own.owner is None:
            people.merge(men[0], own)


def _who_may_be(people: People, own: Person, bearers: Sequence[Person], key: NameKey) -> list[Person]:
    """Return those of the `bearers` of a surname who may be meant by a title and that surname alone."""
    full = [one for one in bearers if one.givens and not all(map(_is_wife_of, one.keys))]
    linked = [one for one in full if key[0] in one.titles]
    if key[0] in MARRIED:
        return linked if len(linked) == 1 else []
    unmarried = [one for one in full if not set(one.titles) & MARRIED]
    if key[0] == "miss":
        # "Miss Bennet" is the eldest; her sisters have their given names behind the title.
        most = max((one.form.total for one in unmarried), default=0)
        eldest = [one for one in unmarried if 10 * one.form.total >= most and not _has_own_title(people, own, one, "miss")]
        return eldest if len(unmarried) > 1 and eldest else unmarried
    if key[0] == "mr" and linked:
        return [one for one in linked if not _has_own_title(people, own, one, "mr")]
    if linked:
        return linked
    return [one for one in unmarried if _title_may_be(one, key[0])]


def _has_own_title(people: People, own: Person, person: Person, title: str) -> bool:
    """Return whether `person` has a given name behind the title so that nobody takes him or her for `own`, who has none."""
    forms = people.names.forms
    with_given = sum(forms[key].total for key in person.keys if key[0] == title and len(key[1]) > 1 and key in forms)
    if title == "miss":
        return with_given * 40 >= own.form.total
    return with_given * 20 >= own.form.total > 2 * person.form.total


def _title_may_be(person: Person, title: str) -> bool:
    """Return whether one who has other titles may be called by this one too: "Mr." by those who do not know the rank."""
    others = set(person.titles) - {title, "sir"}
    return not others or (title in PLAIN_TITLES) or not person.titles.total() > 5


def _join_surname(people: People, key: NameKey) -> None:
    """Join "Holmes" to the one man of that surname, else to the one woman who is not called "Mrs."."""
    own, surname = people.person[key], key[1][0]
    if own.owner is not None and len(own.keys) > 1:
        # The surname of a person given with fuller names is no hint at others of the family.
        return
    bearers = [one for one in people.called(surname) if one is not own and (surname in one.surnames or surname in one.givens)]
    men, women = own.form.men, own.form.women
    if men + women >= 5 and max(men, women) >= 4 * min(men, women):
        bearers = [one for one in bearers if _agree(one.gender, "male" if men > women else "female")]
    single = [one for one in bearers if not (one.gender == "female" and (set(one.titles) & MARRIED))]
    male = [one for one in single if one.gender != "female"]
    # A man of rank is called by it, where another bears the surname.
    unranked = [one for one in male if surname in one.surnames and not set(one.titles) - set(PLAIN_TITLES.values())]
    if unranked:
        male = [one for one in male if one in unranked or surname not in one.surnames]
    best = people.best(male or single, surname)
    if best is not None:
        people.merge(best, own)


def _join_nickname(people: People, key: NameKey) -> None:
    """Join "Lizzy" to the one Elizabeth."""
    own = people.person[key]
    formal = NICKNAMES.get(key[1][0].casefold(), ())
    called = [
        one
        for one in people.called(*formal)
        if one is not own
        and _agree(one.gender, own.gender)
        and not {"sir", "lady"} & set(one.titles)
        and any(words[0].casefold() in formal and (len(words) > 1 or not title) for title, words in one.keys)
    ]
    best = people.best(called, *formal)
    if best is not None:
        people.merge(best, own)
