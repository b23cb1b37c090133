"""What counts as a word, for every metric that counts words."""

import re

# Letters, with single hyphens or apostrophes inside: "to-day", "o'clock", "don’t". A dash ("stopped--and") parts two words.
_WORD = re.compile(r"[^\W\d_]+(?:[-'’‑][^\W\d_]+)*")


def words(text: str) -> list[str]:
    """Return the lower-cased words in order, with straight apostrophes and plain hyphens; numbers and punctuation are none."""
    return [match.lower().replace("’", "'").replace("‑", "-") for match in _WORD.findall(text)]
