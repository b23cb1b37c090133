"""What the readers of docx, epub and pdf return and raise."""

from dataclasses import dataclass

from persona_exp.corpus.reading.removed_text import Cut

# Begins a heading, followed by its level (1 to 9), in an extracted text: no text file has it after decoding.
HEADING_MARK = "\x1d"
DAMAGED = "is damaged; save it anew, or save it as .txt"
TOO_MUCH_TEXT = "holds more text than any novel; give one file a book"


@dataclass(frozen=True)
class ExtractedDocument:
    """A document's text, headings begun by `HEADING_MARK` and their level, pages ended by `PAGE`; its title, if it states one; what was
    cut from it."""

    text: str
    title: str | None
    cuts: tuple[Cut, ...]


class UnreadableDocument(Exception):
    """A document that cannot be read: the message says of it why, and what to do."""
