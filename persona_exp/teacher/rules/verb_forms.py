"""English verbs: from a past or third-person form to the base and back, for the verbs of `verb_forms.txt` only."""

import re
from functools import cache
from pathlib import Path

from persona_exp.teacher.rules import word_classes as words

HERE = Path(__file__).parent
AUXILIARY = words.listed(
    """am is are was were be been being have has had do does did will would shall should can could may might must ought cannot"""
)
PRESENT_OF_HE = {"is": "am", "has": "have", "does": "do"}
# Past forms that are as often something else in front of a noun: never taken for a finite verb on their own evidence.
DOUBTFUL = words.listed("""saw felt left lay wound bore rose found ground bound set cut put shut let read cast hit hurt cost spread""")


@cache
def _table() -> tuple[dict[str, tuple[str, str]], dict[str, str], dict[str, str]]:
    """Return base → (past, participle); past → base; participle → base. Irregular pasts win over regular ones and over bases."""
    forms: dict[str, tuple[str, str]] = {}
    pasts: dict[str, str] = {}
    participles: dict[str, str] = {}
    for line in (HERE / "verb_forms.txt").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        base, *rest = line.split()
        past = rest[0] if rest else regular_past(base)
        participle = rest[-1] if rest else past
        forms[base] = (past, participle)
        for form, known in ((past, pasts), (participle, participles)):
            if form not in known or rest:
                known[form] = base
    return forms, pasts, participles


def regular_past(base: str) -> str:
    """Return the regular past of a base: "walk" → "walked", "move" → "moved", "carry" → "carried"."""
    if base.endswith("e"):
        return base + "d"
    return base[:-1] + "ied" if re.search(r"[^aeiou]y$", base) else base + "ed"


def is_base(word: str) -> bool:
    """Return whether `word` is the base of a known verb."""
    return word in _table()[0]


def base_of_past(word: str) -> str | None:
    """Return the base of a past: "went" → "go", "lay" → "lie", "stopped" → "stop"; None for a form that the table does not hold."""
    return _table()[1].get(word)


def base_of_participle(word: str) -> str | None:
    """Return the base of a participle: "gone" → "go", "walked" → "walk"."""
    return _table()[2].get(word)


def base_of_third(word: str) -> str | None:
    """Return the base of a third person: "goes" → "go", "carries" → "carry", "takes" → "take"."""
    if not word.endswith("s") or word.endswith("ss"):
        return None
    for base in (word[:-3] + "y" if word.endswith("ies") else "", word[:-1], word[:-2] if word.endswith("es") else ""):
        if base and is_base(base):
            return base
    return None


def base_of_gerund(word: str) -> str | None:
    """Return the base of a gerund: "taking" → "take", "running" → "run"."""
    if not word.endswith("ing") or len(word) < 5:
        return None
    stem = word[:-3]
    candidates = (stem, stem + "e", stem[:-1] if stem[-1:] == stem[-2:-1] else "", stem[:-1] + "ie" if stem.endswith("y") else "")
    return next((base for base in candidates if base and is_base(base)), None)


def is_agent(word: str) -> bool:
    """Return whether `word` may be one who does something: "grinder", "runner", "lodger"."""
    if not word.endswith("er") or len(word) < 5:
        return False
    stem = word.rsplit("-", 1)[-1][:-2]
    return any(len(base) > 2 and is_base(base) for base in (stem, stem + "e", stem[:-1] if stem[-1:] == stem[-2:-1] else ""))


def past_of(base: str) -> str:
    """Return the simple past of a known verb. Raise KeyError for another."""
    return _table()[0][base][0]


def participle_of(base: str) -> str:
    """Return the past participle of a known verb. Raise KeyError for another."""
    return _table()[0][base][1]


def third_of(base: str) -> str:
    """Return the third person of a base: "go" → "goes", "carry" → "carries"."""
    if re.search(r"(?:s|x|z|ch|sh|o)$", base):
        return base + "es"
    return base[:-1] + "ies" if re.search(r"[^aeiou]y$", base) else base + "s"


def is_finite(word: str) -> bool:
    """Return whether `word` (lower case) can be the finite verb behind a subject of the third person."""
    if word.endswith("n't"):
        return True
    return word in AUXILIARY - {"be", "been", "being", "am"} or base_of_past(word) is not None or base_of_third(word) is not None
