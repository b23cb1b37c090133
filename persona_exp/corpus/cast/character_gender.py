"""Men and women: by titles, by given names, by the pronouns that follow a name, by nouns."""

import re

from persona_exp.corpus.cast.character import Character
from persona_exp.corpus.cast.name_tokens import name_tokens
from persona_exp.corpus.word_lists.given_names import MENS_NAMES, WOMENS_NAMES
from persona_exp.corpus.word_lists.name_titles import FEMALE_TITLES, MALE_TITLES, PLAIN_TITLES, RANK_TITLES, TITLES, WOMENS_TITLES
from persona_exp.corpus.word_lists.person_nouns import FEMALE_NOUNS, MALE_NOUNS

HE = re.compile(r"\b(?:he|his|him|himself)\b", re.IGNORECASE)
# So much more often must the pronouns of one gender follow a name to overrule what the given name says.
CLEAR = 3.0


def gender_of_title(title: str) -> str | None:
    """Return the gender of who bears a title, spelled as in `name_titles.TITLE_KEYS`."""
    return "female" if title in WOMENS_TITLES else "male" if title in PLAIN_TITLES or title in RANK_TITLES else None


def gender_of_given_name(name: str) -> str | None:
    """Return the gender that a given name tells."""
    name = name.casefold()
    return "male" if name in MENS_NAMES else "female" if name in WOMENS_NAMES else None


def gender_of_pronouns(men: int, women: int, known: str | None) -> str | None:
    """Return the gender by the pronouns counted behind a name; only clear counts overrule what its given name says, `known`."""
    if known is not None:
        other = (men, women) if known == "female" else (women, men)
        return known if other[0] < 12 or other[0] < CLEAR * other[1] else ("male" if known == "female" else "female")
    if men + women < 2 or men == women:
        return None
    return "male" if men > women else "female"


def gender_of(character: Character) -> str | None:
    """Return the stated gender, else what titles, given name or noun tell; None where nothing does."""
    if character.gender:
        return character.gender
    for alias in (character.name, *character.aliases):
        tokens = name_tokens(alias)
        for token in tokens[:-1]:
            if token in FEMALE_TITLES:
                return "female"
            if token in MALE_TITLES:
                return "male"
    for alias in (character.name, *character.aliases):
        core = [token for token in name_tokens(alias) if token not in TITLES]
        if core and core[0] in MENS_NAMES and core[0] not in WOMENS_NAMES:
            return "male"
        if core and core[0] in WOMENS_NAMES and core[0] not in MENS_NAMES:
            return "female"
    for alias in (character.name, *character.aliases):
        for token in name_tokens(alias):
            if token in MALE_NOUNS:
                return "male"
            if token in FEMALE_NOUNS:
                return "female"
    return None
