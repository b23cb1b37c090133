"""What plain-text editions add to a book's words: emphasis, illustrations, one line a paragraph."""

import re

ILLUSTRATION = re.compile(r"\[\s*(?:Illustration|Frontispiece|Pg|Page|Sidenote)\b(?:[^\[\]]|\[[^\[\]]*\])*\]", re.IGNORECASE)
EMPHASIS = re.compile(r"(?<![A-Za-z0-9])_(?=\S)([^_]{1,400}?)(?<=\S)_(?![A-Za-z0-9])")
PAGE_NUMBER = re.compile(r"^[ \t]*(?:\{\d+\}|\[\d+\]|\d{1,4})[ \t]*$", re.MULTILINE)
TERMINAL = re.compile(r"[.!?:;—”’\"')\]*-]$")


def clean(text: str) -> str:
    """Text without illustrations, page numbers and `_emphasis_`; paragraphs with a blank line between them; no space at line ends."""
    text = ILLUSTRATION.sub("", text)
    text = EMPHASIS.sub(r"\1", text)
    text = PAGE_NUMBER.sub("", text)
    text = re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)
    if _one_line_a_paragraph(text):
        text = _separate_lines(text)
    return text


def _one_line_a_paragraph(text: str) -> bool:
    """True where lines are whole paragraphs: most of the words are in lines longer than any wrapped text has."""
    lines = [line for line in text.split("\n") if line.strip()]
    long = sum(len(line) for line in lines if len(line) > 140)
    blank = text.count("\n\n")
    return long > sum(map(len, lines)) / 2 and blank < len(lines) / 3


def _separate_lines(text: str) -> str:
    """Blank lines between lines; a line that goes on in the next one (a page turned, a large initial) is joined to it."""
    paragraphs: list[str] = []
    goes_on = False
    for line in text.split("\n"):
        words = line.strip()
        if not words:
            goes_on = False
            paragraphs.append("")
            continue
        if goes_on and paragraphs and (paragraphs[-1] in "ABCDEFGHIJKLMNOPQRSTUVWXYZ“" or words[0].islower()):
            gap = "" if len(paragraphs[-1]) == 1 else " "
            paragraphs[-1] += gap + words
        else:
            paragraphs.append(words)
        goes_on = len(paragraphs[-1]) == 1 or not TERMINAL.search(paragraphs[-1])
    return re.sub(r"\n{3,}", "\n\n", "\n\n".join(paragraphs))
