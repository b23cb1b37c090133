"""Numbers in prose, by value: "21", "twenty-one" and "twenty-first" are the same."""

import re

_NAMES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_TENFOLD = "twenty thirty forty fifty sixty seventy eighty ninety"
_RANKS = (
    "third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth "
    "nineteenth"
)
_UNITS, _TENS, _ORDINALS = _NAMES.split(), _TENFOLD.split(), _RANKS.split()
_VALUES = {
    # "One", "first" and "second" mean too much else; "zero" is no word of these books.
    **{word: value for value, word in enumerate(_UNITS) if value >= 2},
    **{word: 10 * (place + 2) for place, word in enumerate(_TENS)},
    **{word: place + 3 for place, word in enumerate(_ORDINALS)},
    **{word[:-1] + "ieth": 10 * (place + 2) for place, word in enumerate(_TENS)},
    **{"dozen": 12, "hundred": 100, "hundredth": 100, "thousand": 1000, "thousandth": 1000, "million": 10**6},
    # What says two without the word.
    **{"both": 2, "pair": 2, "couple": 2, "twice": 2, "double": 2, "thrice": 3, "half-dozen": 6},
}
_QUIET = frozenset({"both", "pair", "couple", "twice", "double", "thrice"})  # Good as evidence, no claim themselves.
_ONES = {
    **{word: value for value, word in enumerate(_UNITS) if 1 <= value <= 9},
    **{word: place + 3 for place, word in enumerate(_ORDINALS)},
}
_ONES |= {"first": 1, "second": 2}
_PLURAL = {"twos": "two", "threes": "three", "fours": "four", "dozens": "dozen", "hundreds": "hundred", "thousands": "thousand"}
_TOKEN = re.compile(r"\d[\d,]*|[a-z]+(?:-[a-z]+)*")


def numbers(text: str, claims: bool = False) -> set[str]:
    """Return the numbers in `text` as digits; with `claims`, only what asserts one ("both" may stand for two, but claims nothing new)."""
    found: set[str] = set()
    for token in _TOKEN.findall(text.casefold()):
        if token[0].isdigit():
            found.add(token.replace(",", ""))
            continue
        parts = [_PLURAL.get(part, part) for part in token.split("-")]
        if len(parts) == 2 and parts[0] in _TENS and parts[1] in _ONES:
            found.add(str(_VALUES[parts[0]] + _ONES[parts[1]]))
            continue
        found.update(str(_VALUES[part]) for part in parts if part in _VALUES and not (claims and part in _QUIET))
    return found
