"""How often a text uses the diction of its time."""

from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from persona_exp.evaluation.word_tokenizer import words

LEXICON = "late_victorian.txt"


@cache
def lexicon() -> frozenset[tuple[str, ...]]:
    """Return every form of every entry as a tuple of words: one entry a line, its forms parted by commas, `#` opens a comment."""
    lines = (files("persona_exp.evaluation") / LEXICON).read_text(encoding="utf-8").splitlines()
    entries = [line.partition("#")[0] for line in lines]
    return frozenset(tuple(words(form)) for entry in entries for form in entry.split(",") if form.strip())


def period_terms(texts: Iterable[str]) -> tuple[int, int]:
    """Return the occurrences of lexicon terms in `texts`, and the number of words in them.

    Terms are read from left to right, the longest first, and never overlap: "upon my word" is one term.
    """
    terms = lexicon()
    longest = max(map(len, terms))
    found = total = 0
    for text in texts:
        tokens = words(text)
        total += len(tokens)
        position = 0
        while position < len(tokens):
            sizes = range(min(longest, len(tokens) - position), 0, -1)
            size = next((size for size in sizes if tuple(tokens[position : position + size]) in terms), 0)
            found += size > 0
            position += size or 1
    return found, total
