"""Lines put together to paragraphs, in texts that part paragraphs otherwise than by a blank line."""

import re
from collections.abc import Iterator

from persona_exp.corpus.reading.headings import NUMBER, heading_kind

LONG_LINE = 140
# A chapter's number alone in its line; of what follows so much is looked at, and so many line ends are no title's.
HEADING_LINE = re.compile(rf"(?:\A|(?<=\n\n))[ \t]{{0,40}}(?:chapter|chap\.)[ \t]{NUMBER}[.:]?\n(?=[ \t]{{0,40}}\S)", re.IGNORECASE)
HEADED = 600
HEADED_LINES = 4
VERSE_LINE = 40
# A closing mark that was set as an opening one: nothing opens at the end of a paragraph.
TURNED = re.compile(r"(?<=[.!?,—])“(?=\n\n|\n?\Z)")
TERMINAL = (".", "!", "?", ":", ";", "—", "”", "’", '"', "'", ")", "]", "*", "-")
INDENTED = re.compile(r"^[ \t]{2,12}(?=\S)", re.MULTILINE)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
INITIALS = (*LETTERS, *(f"“{letter}" for letter in LETTERS), *(f'"{letter}' for letter in LETTERS), "“")


def separate_headings(text: str) -> str:
    """Return text with a blank line below each "Chapter I" that prose follows at once."""

    def part(match: re.Match[str]) -> str:
        below = text[match.end() : match.end() + HEADED]
        block = below[: len(below) if "\n\n" not in below else below.index("\n\n")]
        is_prose = block.count("\n") >= HEADED_LINES or (len(block) > LONG_LINE and not block.isupper())
        return f"{match[0]}\n" if is_prose else match[0]

    return HEADING_LINE.sub(part, text)


def separate_paragraphs(text: str) -> str:
    """Return text with a blank line between its paragraphs."""
    characters = lines = long = blank = indented = 0
    for start, end in _lines(text):
        if end == start or text[start:end].isspace():
            blank += 1
            continue
        lines += 1
        characters += end - start
        long += end - start if end - start > LONG_LINE else 0
        indented += text[start] in " \t"
    if long > characters / 2 and blank < lines / 2:
        return TURNED.sub("”", _separate_lines(text))
    if blank <= 1 + lines / 40 and lines / 50 < indented < lines * 0.7:
        return INDENTED.sub("\n", text).lstrip("\n")
    return text


def _lines(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    while start <= len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield start, end
        start = end + 1


def _separate_lines(text: str) -> str:
    """Put blank lines between lines; join a line that goes on in the next one (a page turned, a large initial) to it."""
    # Each paragraph is a list of lines until the end, so that joining many stays linear.
    paragraphs: list[list[str]] = []
    after_blank = True
    unclosed = 0
    for start, end in _lines(text):
        words = " ".join(text[start:end].split())
        if not words:
            after_blank = True
            continue
        if not after_blank and _is_rest(paragraphs[-1][-1], words, unclosed > 0):
            paragraphs[-1].append(words)
        else:
            paragraphs.append([words])
            unclosed = 0
        unclosed += words.count("“") - words.count("”")
        after_blank = False
    return "\n\n".join("".join(_with_gaps(lines)) for lines in paragraphs) + "\n"


def _is_rest(last: str, words: str, in_speech: bool) -> bool:
    """Return whether a line's words are the rest of the paragraph that `last` is a line of, with speech in it that has not ended."""
    if last in INITIALS:
        return True
    closing, opening = words.find("”"), words.find("“")
    if in_speech and closing >= 0 and (opening < 0 or closing < opening):
        return heading_kind(words) is None
    if last.endswith(TERMINAL):
        return False
    # A line without an end is no paragraph, whatever letter the next begins with; verse and headings are short.
    return words[0].islower() or (
        len(last) > (VERSE_LINE // 2 if in_speech else VERSE_LINE) and heading_kind(last) is None and heading_kind(words) is None
    )


def _with_gaps(lines: list[str]) -> Iterator[str]:
    for place, line in enumerate(lines):
        yield line if place == 0 or lines[place - 1] in INITIALS else f" {line}"
