"""Men and women: told by titles, by the pronouns that follow a name, by given names."""

import re

from persona_exp.corpus.cast.given_names import FEMALE as WOMEN
from persona_exp.corpus.cast.given_names import MALE as MEN
from persona_exp.corpus.cast.titles import FEMALE, PLAIN, RANKS

HE = re.compile(r"\b(?:he|his|him|himself)\b", re.IGNORECASE)
SHE = re.compile(r"\b(?:she|her|hers|herself)\b", re.IGNORECASE)
# So much more often must the pronouns of one gender follow a name to overrule what the given name says.
CLEAR = 3.0


def of_title(title: str) -> str | None:
    """The gender of who bears a title, spelled as in `titles.TITLES`."""
    return "female" if title in FEMALE else "male" if title in PLAIN or title in RANKS else None


def of_given_name(name: str) -> str | None:
    """The gender that a given name tells."""
    name = name.casefold()
    return "male" if name in MEN else "female" if name in WOMEN else None


def of_votes(men: int, women: int, known: str | None) -> str | None:
    """The gender that pronouns tell, counted behind a name; `known` is what its given name tells, and only clear counts overrule that."""
    if known is not None:
        other = (men, women) if known == "female" else (women, men)
        return known if other[0] < 12 or other[0] < CLEAR * other[1] else ("male" if known == "female" else "female")
    if men + women < 2 or men == women:
        return None
    return "male" if men > women else "female"
