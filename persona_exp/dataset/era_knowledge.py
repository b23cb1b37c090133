"""Knowledge by era: the last year of a period, and the inventions after it, which a persona cannot know."""

import csv
import hashlib
import re
from functools import cache
from pathlib import Path

BUNDLED = Path(__file__).parent / "bundled" / "inventions.csv"
# Of a period that tells no year, as far as what most classic novels cannot know.
UNDATED = 1950

# "1815", "1880s", "1811–20", and the "'90s" behind "1880s and".
YEAR = re.compile(r"\b(?P<year>[12]\d{3})(?!\d)(?P<many>['’]?s\b)?(?:\s*[-–—/]\s*(?P<to>\d\d)(?![\ds]))?|\b(?P<decade>\d0)['’]?s\b")
# The last year of an age that is called by name.
AGES = {
    "antiquity": 476,
    "medieval": 1500,
    "middle ages": 1500,
    "renaissance": 1600,
    "elizabethan": 1603,
    "napoleonic": 1815,
    "regency": 1820,
    "georgian": 1837,
    "victorian": 1901,
    "edwardian": 1910,
    "first world war": 1918,
    "interwar": 1939,
    "second world war": 1945,
}
FIRST_ORDINAL = 10
ORDINALS = (
    "tenth",
    "eleventh",
    "twelfth",
    "thirteenth",
    "fourteenth",
    "fifteenth",
    "sixteenth",
    "seventeenth",
    "eighteenth",
    "nineteenth",
    "twentieth",
    "twenty-first",
)
CENTURY = re.compile(
    r"(?P<part>(?:first half|turn|beginning|middle)\s+of\s+the\s+|early[\s-]+|mid[\s-]+)?"
    rf"\b(?P<ordinal>{'|'.join(ORDINALS)}|\d\d(?:st|nd|rd|th))\b",
)
# How far into its century each part reaches: rather too late than too early.
PARTS = {"turn": 10, "early": 30, "beginning": 30, "first half": 50, "mid": 70, "middle": 70}


def last_year(period: str) -> int | None:
    """Return the last year of a period in free text, by years, else by the name of an age, else by centuries; None where it has none.

    "England in the 1880s and 1890s" is 1899, "the Regency" 1820, "nineteenth century" 1899, "early nineteenth century" 1830.
    """
    text = period.casefold()
    years = _years(text)
    if not years:
        years = [year for age, year in AGES.items() if age in text]
    if not years and "centur" in text:
        years = [_century(match) for match in CENTURY.finditer(text)]
    return max(years, default=None)


def _years(text: str) -> list[int]:
    years: list[int] = []
    for match in YEAR.finditer(text):
        if match["decade"]:
            # Without a year before it, nobody knows of which century.
            years.extend([years[-1] // 100 * 100 + int(match["decade"]) + 9] if years else [])
            continue
        year = int(match["year"])
        if match["many"]:
            # "The 1800s" are a century, "the 2000s" a decade.
            year += 99 if year % 100 == 0 and year < 2000 else 9 - year % 10
        years.append(max(year, year // 100 * 100 + int(match["to"])) if match["to"] else year)
    return years


def _century(match: re.Match[str]) -> int:
    ordinal = match["ordinal"]
    number = ORDINALS.index(ordinal) + FIRST_ORDINAL if ordinal in ORDINALS else int(ordinal[:2])
    part = re.sub(r"\s+of\s+the\s+$", "", match["part"] or "").strip(" -")
    return (number - 1) * 100 + PARTS.get(part, 99)


@cache
def inventions() -> tuple[tuple[str, int], ...]:
    """Return each invention as a question names it ("the television") and the year in which it became public, give or take two; by year."""
    with BUNDLED.open(encoding="utf-8", newline="") as file:
        return tuple((row["name"], int(row["year"])) for row in csv.DictReader(file))


def inventions_after(period: str) -> list[str]:
    """Return the inventions of the years after `period`, earliest first; after 1950 where it has no year."""
    year = last_year(period)
    return [name for name, public in inventions() if public > (UNDATED if year is None else year)]


def split_of_invention(name: str) -> str:
    """Return the split of all examples about this invention: train for eight of ten, validation and test for one each, by SHA-256."""
    number = int(hashlib.sha256(name.encode()).hexdigest(), 16) % 10
    return "train" if number < 8 else "validation" if number == 8 else "test"
