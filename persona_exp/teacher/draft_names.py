"""Proper names in prose, found by their capitals, and who speaks of whom."""

import re
from functools import lru_cache
from pathlib import Path


def _listed(name: str) -> frozenset[str]:
    return frozenset((Path(__file__).parent / name).read_text(encoding="utf-8").split())


# Capitalised wherever they stand, and yet nobody's and nowhere's name.
_FREE = _listed("capitalised_words.txt")
# What begins a sentence and may stand before "was" or "said" without being a name.
_OPENERS = _listed("sentence_openers.txt")
_COMMON_ENDINGS = tuple("-ity -ness -tion -sion -ment -ence -ance -ing -ly -ed -ship -hood -ism -dom -ure -ers".replace("-", "").split(" "))
_WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
_ENDS_SENTENCE = re.compile(r"(?:^|[.!?:;—\"(\[-]|\n)[\s\"'(\[—-]*$")
_NAME_GOES_ON = re.compile(
    r"\s+(?:was|is|had|has|did|does|said|says|came|went|took|told|gave|saw|knew|made|stood|sat|left|looked|turned|asked|cried|answered|"
    r"replied|would|could|might|must|will|himself|herself)\b|\s+[A-Z][a-z]"
)
TITLED = re.compile(r"\b(?:Mr|Mrs|Ms|Messrs|Dr|St|Capt|Col|Lieut|Rev|Prof|Hon|Sergt|Esq|[A-Z])\.\s*$")
TYPOGRAPHY = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "–": "—", "…": "."})


def words(text: str) -> list[str]:
    """Return the words of `text` in small letters, "Holmes's" without its ending and "to-day" in one."""
    return [_bare(word).casefold() for word in _WORD.findall(text)]


def vocabulary(*texts: str) -> set[str]:
    """Return all words of `texts`, hyphenated ones also in their parts."""
    found = {word for text in texts for word in words(text.translate(TYPOGRAPHY))}
    return found | {part for word in found if "-" in word for part in word.split("-")}


def new_names(text: str, known: set[str]) -> list[str]:
    """Return the names in `text` that are not among the `known` words.

    Within a sentence any capital makes a name; at its start, only what goes on as names do, and is no common word.
    """
    text = text.translate(TYPOGRAPHY)
    small = {word for word in _WORD.findall(text) if word[0].islower()}
    found = []
    for match in _WORD.finditer(text):
        name = _bare(match[0])
        low = name.casefold()
        if not name[0].isupper() or len(name) < 2 or low in _FREE or low in known or low in small:
            continue
        if low.split("'")[0] in _FREE or all(part in known or not part[:1].isalpha() for part in low.split("-")):
            continue
        if len(low) > 5 and any(low.startswith(word) for word in (low[:-1], low[:-2]) if word in known):
            continue
        before = text[max(0, match.start() - 12) : match.start()]
        starts = not before.strip() or (_ENDS_SENTENCE.search(before) and not TITLED.search(before))
        if starts and (
            low in _OPENERS or low.endswith(_COMMON_ENDINGS) or not (match[0] != name or _NAME_GOES_ON.match(text, match.end()))
        ):
            continue
        if name.isupper() and low in _OPENERS:  # Said with stress.
            continue
        found.append(name)
    return found


def outside_quotes(text: str) -> str:
    """Return `text` without what stands between double quotation marks; an unpaired one reaches to the end."""
    return " ".join(text.translate(TYPOGRAPHY).split('"')[::2])


def speaks_of(text: str, names: tuple[str, ...]) -> bool:
    """Return whether `text` speaks about the bearer of `names`: not "my name is Holmes", "I, Holmes," nor a person of the same surname."""
    pattern = _mentions(names)
    if pattern is None:
        return False
    for match in pattern.finditer(text):
        before, after = text[max(0, match.start() - 24) : match.start()], text[match.end() : match.end() + 24]
        if _INTRODUCED.search(before) or (_SET_OFF.search(before) and re.match(r"\s*(?:[,.!?;:—\"](?! who)|$)", after)):
            continue
        relative = re.search(r"\b([A-Z][\w'-]*)\.?\s+$", before)
        if relative and relative[1].casefold() not in _OPENERS and not relative[1].endswith(_COMMON_ENDINGS):
            continue
        return True
    return False


# "I am Holmes", "my name is Holmes", "they call me Holmes", "the name of Holmes".
_INTRODUCED = re.compile(
    r"(?:\b(?:I am|I'm|I was|am I|name is|name was|name of|call(?:s|ed)? me|named|called|signed|to be|I,)|[\"'])\s*"
    r"(?:only |but |not |plain |still |indeed )?$"
)
# An address: "Well, Holmes, …", at the start or behind a comma.
_SET_OFF = re.compile(r"(?:^|[,.!?;:—\"])\s*$")


@lru_cache(maxsize=64)
def _mentions(names: tuple[str, ...]) -> re.Pattern[str] | None:
    proper = sorted({name for name in names if name[:1].isupper() and not name.startswith("The ")}, key=lambda name: (-len(name), name))
    return re.compile(r"\b(?:" + "|".join(map(re.escape, proper)) + r")\b(?!-)") if proper else None


def _bare(word: str) -> str:
    """Return `word` without the possessive's ending."""
    return word[:-2] if word.endswith("'s") and len(word) > 2 else word
