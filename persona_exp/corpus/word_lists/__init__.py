"""Word lists of English fiction: verbs of saying, nouns for people, titles, given names, nicknames, function words."""


def word_set(text: str) -> frozenset[str]:
    """Return the words of a list parted by blanks."""
    return frozenset(text.split())
