"""Paragraphs of a chapter, with the scene each belongs to."""

import re
from dataclasses import dataclass

from persona_exp.corpus.reading.headings import blocks, heading_kind


@dataclass(frozen=True)
class Paragraph:
    """`text[start:end]`, in the `scene`-th scene of its chapter (counted from 0)."""

    start: int
    end: int
    scene: int


def find_paragraphs(text: str, start: int = 0, end: int | None = None) -> list[Paragraph]:
    """Return the paragraphs of `text[start:end]`. Section heads and lines of stars are not paragraphs: they part scenes."""
    found: list[Paragraph] = []
    scene = 0
    for block in blocks(text, start, end):
        if heading_kind(block.text) is None:
            found.append(Paragraph(block.start, block.end, scene))
        elif found:
            scene = found[-1].scene + 1
    return found


def on_one_line(text: str) -> str:
    """Return text on one line: line breaks and runs of blanks become one blank."""
    return re.sub(r"\s+", " ", text).strip()
