"""Whether words in marks are speech, or scare quotes, a title, a ship's name, a word held up."""

import re

from persona_exp.corpus.word_lists.speech_verbs import CUE_BEHIND, SAYS

SAYS_BEFORE = re.compile(
    rf"\b(?:{SAYS}|say|cry|of|with|or|and|with\s+an?|in\s+a\s+\w+\s+voice)(?:\s+(?:out|to|at|him|her|me|them|us))*\s*$"
)
TERMINAL = re.compile(r"(?:[.,!?;:…—–-])[’'”\"»)\]_*]*$")
TITLE_WORDS = re.compile(r"(?:of|the|and|in|a|an|to|for|on|at|de|la)\b")
WORDS = re.compile(r"[\w’'-]+")
# Before a mark of opening, these go on into speech; a word without one of them goes on into a word held up.
PUNCTUATION_BEFORE = frozenset(",:;.!?—–-…)”\"'’_")
LONG = 6


def is_speech(text: str, start: int, end: int, paragraph: tuple[int, int], mark: int, after: int, later: bool) -> bool:
    """Return whether `text[start:end]` is said, not a name or a word held up.

    `mark` is where its opening mark begins, `after` where its closing mark ends, `paragraph` what it stands in, and `later` says that
    there was speech in that paragraph before it.
    """
    said = text[start : min(end, start + 400)].strip()
    words = len(WORDS.findall(said))
    if not words:
        return end > start and re.search(r"[.!?…—-]", said) is not None and mark == paragraph[0]
    terminal = TERMINAL.search(text[max(start, end - 6) : end].rstrip()) is not None
    follows = text[after : min(after + 120, paragraph[1])]
    cue = CUE_BEHIND.match(follows) is not None and not (follows[:1] in ".;" and not terminal)
    if mark <= paragraph[0]:
        return terminal or words > 3 or cue or not follows.strip() or follows.lstrip()[:1] in "—–-("
    if cue and (terminal or later or words > 3 or follows[:1] in ",—-"):
        return True
    before = text[max(paragraph[0], mark - 60) : mark].rstrip()
    if before[-1:] in PUNCTUATION_BEFORE or (later and before[-1:] == "("):
        if terminal:
            return later or not said.lstrip("‘'—-._ ")[:1].islower() or (before[-1:] in ",:" and words > 2)
        return words > 3 and (later or before[-1:] in ",:")
    return _is_said_midway(said, words, terminal, before)


def _is_said_midway(said: str, words: int, terminal: bool, before: str) -> bool:
    """Return whether words that no punctuation leads up to are said: long, or behind a verb of saying, or called out; not a title."""
    first = said.lstrip("‘'—-._ ")[:1]
    if not terminal or first.islower():
        return words > 2 * LONG and terminal
    called = re.search(r"[!?][’'_]*$", said) is not None
    titled = [word for word in WORDS.findall(said) if not TITLE_WORDS.match(word)]
    if not called and words <= LONG and all(word[0].isupper() for word in titled):
        return bool(SAYS_BEFORE.search(before)) and len(titled) < 2
    return called or words >= LONG or bool(SAYS_BEFORE.search(before))
