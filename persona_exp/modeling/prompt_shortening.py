"""Conversations made to fit: what goes first is the beginning of what the user says."""

import re
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence

import regex

Messages = Sequence[Mapping[str, str]]

# In UTF-8 bytes. What is longer between two blanks is no word: a URL, a sentence of a script that writes no blanks.
LONGEST_WORD = 50


def shorten(messages: Messages, length: Callable[[Messages], int], room: int) -> Messages:
    """Return `messages` itself if `length(messages)` fits into `room`; else with the user's turns shortened from their start.

    The first turn's beginning goes first. Cut is between words; what is too long for a word (`LONGEST_WORD`) is cut between its
    characters as a reader sees them (extended grapheme clusters, Unicode Annex 29), so that no accent and no part of an emoji stands
    alone. Each turn keeps its last word or character, also where that is still too long.
    """
    shortened = messages
    for index, turn in enumerate(messages):
        if length(shortened) <= room:
            break
        if turn["role"] == "user":
            shortened = _shorten_turn(shortened, index, length, room)
    return shortened


def _shorten_turn(messages: Messages, index: int, length: Callable[[Messages], int], room: int) -> Messages:
    """Return `messages` with as little as will do, or all that may go, taken from the start of turn `index`."""
    text = messages[index]["content"]
    starts = _starts(text)
    if len(starts) < 2:
        return messages

    def without(pieces: int) -> Messages:
        return [*messages[:index], {**messages[index], "content": text[starts[pieces] :]}, *messages[index + 1 :]]

    fewest = bisect_left(range(len(starts) - 1), True, lo=1, key=lambda pieces: length(without(pieces)) <= room)
    return without(fewest)


def _starts(text: str) -> list[int]:
    """Return where `text` may begin: at its words, and at the characters of what is too long for a word."""
    starts = []
    for word in re.finditer(r"\S+", text):
        if len(word[0].encode("utf-8", errors="replace")) <= LONGEST_WORD:
            starts.append(word.start())
        else:
            starts += [word.start() + character.start() for character in regex.finditer(r"\X", word[0])]
    return starts
