"""Names to people: every form by which narration may call a person of the cast, listed or derived ("Holmes" from "Mr. Sherlock Holmes")."""

from collections.abc import Sequence
from dataclasses import dataclass

from persona_exp.corpus.cast.character import Character
from persona_exp.corpus.cast.character_gender import gender_of
from persona_exp.corpus.cast.name_tokens import name_tokens
from persona_exp.corpus.word_lists.function_words import DETERMINERS
from persona_exp.corpus.word_lists.name_titles import FEMALE_TITLES, FEW_PARTICLES, MALE_TITLES, TITLES
from persona_exp.corpus.word_lists.nicknames import SHORT_NAMES
from persona_exp.corpus.word_lists.person_nouns import GENERIC_NOUNS, PEOPLE_NOUNS

# A form's rank: listed in the cast; derived from full names; shortened, so that it may mean others too.
LISTED, DERIVED, SHORTENED = 3, 2, 1


@dataclass(frozen=True)
class NameForm:
    """One way of calling a person: `tokens`, and the `people` (indices into the cast) it may mean. `common`: small letters will do,
    behind an article ("the beadle")."""

    tokens: tuple[str, ...]
    people: tuple[int, ...]
    common: bool


class NameForms:
    """Finds the people of a cast in a run of tokens."""

    def __init__(self, cast: Sequence[Character]) -> None:
        self.cast = tuple(cast)
        self.genders = [gender_of(character) for character in cast]
        self.surnames = [_surname(character.name) for character in cast]
        self.houses = [frozenset(_surname(name) for name in (character.name, *character.aliases)) - {""} for character in cast]
        self.givens = [_given(character) for character in cast]
        self.families: dict[str, list[int]] = {}
        for index, surname in enumerate(self.surnames):
            self.families.setdefault(surname, []).append(index)
        self.heads: dict[str, list[int]] = {}
        for index, character in enumerate(cast):
            for head in _heads(character):
                self.heads.setdefault(head, []).append(index)
        ranks: dict[tuple[tuple[str, ...], bool], dict[int, int]] = {}
        for index, character in enumerate(cast):
            for tokens, common, rank in _forms(character, self.genders[index]):
                owners = ranks.setdefault((tokens, common), {})
                owners[index] = max(owners.get(index, 0), rank)
        self.by_first: dict[str, list[NameForm]] = {}
        for (tokens, common), owners in ranks.items():
            best = max(owners.values())
            people = tuple(index for index, rank in owners.items() if rank == best or self._is_stub(tokens, owners))
            if len(people) > 1 and len(tokens) == 1:
                # A bare surname is a man's.
                people = (
                    tuple(index for index in people if self.genders[index] != "female" or tokens[0] not in self.houses[index]) or people
                )
            self.by_first.setdefault(tokens[0], []).append(NameForm(tokens, people, common))
        for forms in self.by_first.values():
            forms.sort(key=lambda form: (-len(form.tokens), form.common))

    def _is_stub(self, tokens: tuple[str, ...], owners: dict[int, int]) -> bool:
        """Return whether the one listed under a bare surname is nothing but that name, so that a fuller name may be the same person."""
        listed = [index for index, rank in owners.items() if rank == LISTED]
        if len(tokens) > 1 or len(listed) != 1 or self.genders[listed[0]]:
            return False
        return all(name_tokens(name) == tokens for name in (self.cast[listed[0]].name, *self.cast[listed[0]].aliases))

    def at(self, lows: Sequence[str], words: Sequence[str], place: int) -> NameForm | None:
        """Return the longest form that begins at token `place`; `lows` are the tokens' keys, `words` the tokens as written. A common one
        counts only behind a determiner."""
        for form in self.by_first.get(lows[place], ()):
            length = len(form.tokens)
            if length > 1 and tuple(lows[place : place + length]) != form.tokens:
                continue
            if form.common:
                if place and lows[place - 1] in DETERMINERS:
                    return form
                continue
            if not words[place][0].isupper() or not (length == 1 or words[place + length - 1][0].isupper()):
                continue
            if length == 1 and lows[place] in TITLES and place + 1 < len(words) and words[place + 1][0].isupper():
                continue
            return form
        return None

    def namesake(self, words: Sequence[str]) -> tuple[int, ...]:
        """Return people whom a name that is no form of theirs may mean: same surname, given name alike ("Charles Bates" for "Charley")."""
        title, core = (words[0], words[1:]) if words[0] in TITLES else ("", words)
        found = []
        for index in self.families.get(core[-1], ()) if core else ():
            given = self.givens[index]
            if (title in MALE_TITLES and self.genders[index] == "female") or (title in FEMALE_TITLES and self.genders[index] == "male"):
                continue
            if len(core) > 1 and not (
                given and (given[:4] == core[0][:4] or SHORT_NAMES.get(given) == core[0] or SHORT_NAMES.get(core[0]) == given)
            ):
                continue
            found.append(index)
        return tuple(found)


def _surname(name: str) -> str:
    core = [token for token in name_tokens(name) if token not in TITLES]
    return core[-1] if core else ""


def _given(character: Character) -> str:
    for alias in (character.name, *character.aliases):
        core = [token for token in name_tokens(alias) if token not in TITLES]
        if len(core) > 1 and not _is_common(name_tokens(alias)):
            return core[0]
    return ""


def _heads(character: Character) -> list[str]:
    """Return the nouns by which the cast describes a person: "officer" of "The Police Officer", "inspector" of "Inspector Crane"."""
    found = []
    for alias in (character.name, *character.aliases):
        tokens = name_tokens(alias)
        if tokens and _is_common(tokens):
            cut = next((place for place, token in enumerate(tokens) if place and token in FEW_PARTICLES), len(tokens))
            if tokens[cut - 1] not in GENERIC_NOUNS:
                found.append(tokens[cut - 1])
        elif len(tokens) > 1 and (tokens[0] in PEOPLE_NOUNS or tokens[0] == "dr"):
            found.append("doctor" if tokens[0] == "dr" else tokens[0])
    return sorted(set(found))


def _is_common(tokens: tuple[str, ...]) -> bool:
    """Return whether a name is a description: "the gentleman in the white waistcoat", "inspector in uniform"."""
    if tokens[0] in DETERMINERS:
        return True
    core = [token for token in tokens if token not in TITLES]
    return any(token in PEOPLE_NOUNS for token in core[-1:]) and not (tokens[0] in TITLES and len(tokens) == 2)


def _forms(character: Character, gender: str | None) -> list[tuple[tuple[str, ...], bool, int]]:
    found: list[tuple[tuple[str, ...], bool, int]] = []
    seen_titles: set[str] = set()
    for position, alias in enumerate((character.name, *character.aliases)):
        tokens = name_tokens(alias)
        if not tokens:
            continue
        if _is_common(tokens):
            bare = tokens[1:] if tokens[0] in DETERMINERS and len(tokens) > 1 else tokens
            found.append((bare, True, LISTED))
            found.append((bare, False, LISTED))
            if position == 0 or len(bare) <= 3:
                cut = next((place for place, token in enumerate(bare) if place and token in FEW_PARTICLES), len(bare))
                found.append((bare[cut - 1 : cut], False, DERIVED))
            continue
        found.append((tokens, False, LISTED))
        title = tokens[0] if tokens[0] in TITLES else ""
        seen_titles.add(title)
        core = tuple(token for token in tokens if token not in TITLES)
        if not core or any(token in FEW_PARTICLES for token in core[:1]):
            continue
        found.append((core, False, DERIVED if len(core) > 1 or title else LISTED))
        found += _derived(core, title, gender)
    return found


def _derived(core: tuple[str, ...], title: str, gender: str | None) -> list[tuple[tuple[str, ...], bool, int]]:
    """Return given name and surname alone, and the surname behind a title that fits."""
    found: list[tuple[tuple[str, ...], bool, int]] = []
    surname = core[-1:]
    if len(core) > 1:
        found.append((core[:1], False, DERIVED))
        found.append((surname, False, DERIVED if gender == "male" else SHORTENED))
        if len(core) > 2:
            found.append(((core[0], core[-1]), False, DERIVED))
        titles = ("mr",) if gender == "male" else ("miss", "mrs") if gender == "female" else ("mr", "mrs", "miss")
        found += [((one, *surname), False, SHORTENED) for one in titles]
        found += [((one, core[0]), False, SHORTENED) for one in ("sir", "lady", "miss", "master", "mr") if not title or one == title]
        if core[0] in SHORT_NAMES:
            found.append(((SHORT_NAMES[core[0]],), False, SHORTENED))
    if title:
        found.append(((title, *surname), False, DERIVED))
    return found
