"""Words that a typesetter parted at line ends."""

import re
from collections import Counter
from collections.abc import Collection

from persona_exp.corpus.reading.removed_text import Cuts

PARTED = re.compile(r"(?<=[^\W\d_])-\n[ \t]{0,200}(?=[^\W\d_])(\S{1,200})([ \t]{1,200}|(?=\n)|\Z)")
BEFORE = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*\Z")
AFTER = re.compile(r"[^\W\d_]+")
WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
STEM = re.compile(r"(\w{3,})(?:ed|ing|s)\Z")
LONGEST = 60


def join_hyphens(text: str, cuts: Cuts) -> str:
    """Return text with no word parted at a line end: the rest of it is moved up.

    The hyphen goes, unless the book has the word with a hyphen elsewhere, or its two halves as words, no less often than the whole; or
    unless what follows begins with a capital.
    """
    if not PARTED.search(text):
        return text
    known: Counter[str] = Counter()
    elsewhere = PARTED.sub("\0", text)
    for match in WORD.finditer(elsewhere):
        # A parted word is known only from elsewhere: its halves here are no words.
        if elsewhere.startswith("\0", match.end()):
            continue
        known[match[0].casefold()] += 1
        if "-" in match[0]:
            known.update(match[0].casefold().split("-"))

    def join(match: re.Match[str]) -> str:
        begun = BEFORE.search(text[max(0, match.start() - LONGEST) : match.start()])
        rest = AFTER.match(match[1])
        assert begun is not None
        assert rest is not None
        end = "\n" if match[2] else ""
        last = begun[0].rpartition("-")[2]
        hyphenated = f"{begun[0]}-{rest[0]}".casefold()
        whole = (last + rest[0]).casefold()
        # Two words of the book that make no third are a compound that happened to stand at a line's end.
        compound = hyphenated in known or (last.casefold() in known and _is_known(rest[0].casefold(), known))
        if rest[0][0].isupper() or "-" in begun[0] or (compound and known[hyphenated] >= known[whole]):
            return f"-{match[1]}{end}"
        cuts.add("hyphen at a line end", f"{begun[0]}-{rest[0]}", 1)
        return f"{match[1]}{end}"

    return PARTED.sub(join, text)


def _is_known(word: str, known: Collection[str]) -> bool:
    """Return whether the book has a word, or the one that it is made from ("mouthed", "legged")."""
    stem = STEM.match(word)
    return word in known or (stem is not None and (stem[1] in known or (stem[1][-1] == stem[1][-2] and stem[1][:-1] in known)))
