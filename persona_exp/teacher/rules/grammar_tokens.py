"""Words of a sentence, with the persona's names and other names each as one token."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from persona_exp.teacher.rules import verb_forms as verbs
from persona_exp.teacher.rules import word_classes as words
from persona_exp.teacher.rules.sentence_splitting import ENDED, INSIDE, Sentence

WORD = re.compile(
    rf"(?P<quote>[{INSIDE}{ENDED}]+)|(?P<clitic>'s(?!\w)|'(?=\s|$))|(?P<word>[^\W\d_]+(?:-[^\W\d_]+|'(?!s\b)[^\W\d_]+)*)"
    r"|(?P<number>\d[\d,.]*\d|\d)|(?P<mark>[^\s\w]|_)"
)
FUNCTION = (
    words.OPENERS
    | words.PREPOSITIONS
    | words.DETERMINERS
    | words.CONJUNCTIONS
    | words.SUBORDINATORS
    | words.ADVERBS
    | words.FIRST
    | verbs.AUXILIARY
    | words.listed(
        """he him his himself she her hers herself they them their it its who whom whose you your yes no not both neither either"""
    )
)
TITLES = words.TITLES_HIS | words.TITLES_HER


@dataclass(frozen=True)
class Token:
    """`kind` is one of persona, pair, name, word, number, clitic, mark, quote; `low` is the text in lower case.

    A pair is the persona and another person ("Holmes and Lestrade"); its `low` is how the persona calls the other.
    """

    text: str
    start: int
    end: int
    kind: str
    low: str = field(default="")


@dataclass(frozen=True)
class Names:
    """How the passage calls people: the persona's names, words of others' names, the narrator's name and its last word."""

    persona: tuple[str, ...]
    known: frozenset[str]
    others: frozenset[str]
    narrator: str | None

    @property
    def short(self) -> str:
        """What the persona calls the narrator."""
        return (self.narrator or "").split()[-1] if self.narrator else ""


def find_names(persona: tuple[str, ...], others: Iterable[str], narrator: str | None, sentences: Iterable[Sentence]) -> Names:
    """Return the names that `sentences` may hold: those given, and every word written with a capital inside a sentence."""
    given = {word for other in others for word in re.findall(r"[^\W\d_]{2,}", other) if word[0].isupper() and word.lower() not in FUNCTION}
    seen = {
        match[0]
        for sentence in sentences
        for match in re.finditer(r"(?<=[a-z,] )[A-Z][^\W\d_]+", sentence.masked)
        if match[0].lower() not in FUNCTION
    }
    own = {word for name in persona for word in name.split()}
    return Names(persona, frozenset((given | seen) - own), frozenset(given - own), narrator)


@lru_cache(maxsize=256)
def _persona(names: tuple[str, ...]) -> re.Pattern[str] | None:
    listed = sorted({name.strip() for name in names if name.strip()}, key=lambda name: (-len(name), name))
    if not listed:
        return None
    return re.compile(r"(?<![\w-])(?:" + "|".join(re.escape(name) for name in listed) + r")(?![\w-])")


def tokenize(masked: str, names: Names) -> list[Token]:
    """Return the tokens of one sentence, in order."""
    pattern = _persona(names.persona)
    found: list[Token] = []
    place = 0
    for own in pattern.finditer(masked) if pattern else ():
        found += _plain(masked, place, own.start())
        found.append(Token(own[0], own.start(), own.end(), "persona", own[0].lower()))
        place = own.end()
    found += _plain(masked, place, len(masked))
    return _join_pairs(_join_names(found, masked, names), masked, names)


def _plain(masked: str, start: int, end: int) -> list[Token]:
    return [
        Token(match[0], match.start(), match.end(), str(match.lastgroup), match[0].lower()) for match in WORD.finditer(masked, start, end)
    ]


def _is_name(tokens: list[Token], index: int, names: Names) -> bool:
    token = tokens[index]
    if token.kind != "word" or not token.text[0].isupper() or token.text == "I":
        return False
    initial = index == 0 or tokens[index - 1].kind == "quote" or tokens[index - 1].text in ".!?:"
    if token.low in TITLES:
        return not initial or (index + 1 < len(tokens) and tokens[index + 1].text[0] in ".ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    if not initial:
        return True
    return token.low not in FUNCTION and token.text in names.known


def _join_names(tokens: list[Token], masked: str, names: Names) -> list[Token]:
    """Join runs of capitalised words to one "name"; the persona's name inside one ("Mycroft Holmes") is another's."""
    joined: list[Token] = []
    index = 0
    while index < len(tokens):
        end = index
        own = tokens[index].kind == "persona"
        if own or _is_name(tokens, index, names):
            end = index + 1
            while end < len(tokens):
                dot = (
                    tokens[end].text == "." and (tokens[end - 1].low in TITLES or len(tokens[end - 1].text) == 1) and end + 1 < len(tokens)
                )
                if not (dot or tokens[end].kind == "persona" or (tokens[end].kind == "word" and _capital(tokens[end]))):
                    break
                end += 1
        if end <= index + 1:
            joined.append(tokens[index] if end == index or own else _name(tokens, index, end, masked))
            index += 1
        else:
            joined.append(_name(tokens, index, end, masked))
            index = end
    return joined


def _join_pairs(tokens: list[Token], masked: str, names: Names) -> list[Token]:
    """Join "Holmes and I", "Holmes and Lestrade" and "Lestrade and Holmes" to one token each."""
    joined: list[Token] = []
    index = 0
    while index < len(tokens):
        three = tokens[index : index + 3]
        if len(three) == 3 and three[1].low == "and" and (tokens[index + 3].kind != "clitic" if index + 3 < len(tokens) else True):
            other = _other(three[0], three[2], names)
            if other and masked[three[0].start : three[2].end].count(",") == 0:
                joined.append(Token(masked[three[0].start : three[2].end], three[0].start, three[2].end, "pair", other))
                index += 3
                continue
        joined.append(tokens[index])
        index += 1
    return joined


def _other(first: Token, second: Token, names: Names) -> str:
    """Return how the persona calls the other of two; "" where it is not one of the two, or the other has no name."""
    if first.kind == "persona" and second.text in ("I", "me"):
        return names.short
    for own, other in ((first, second), (second, first)):
        if own.kind == "persona" and other.kind == "name":
            return other.text
    return ""


def _capital(token: Token) -> bool:
    return token.text[0].isupper() and token.text != "I" and token.low not in FUNCTION


def _name(tokens: list[Token], start: int, end: int, masked: str) -> Token:
    text = masked[tokens[start].start : tokens[end - 1].end]
    return Token(text, tokens[start].start, tokens[end - 1].end, "name", text.lower())
