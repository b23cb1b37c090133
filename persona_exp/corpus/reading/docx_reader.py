"""A Word document's text."""

from pathlib import Path
from typing import Any

from persona_exp.corpus.reading.book_size_limits import MAX_CHARACTERS
from persona_exp.corpus.reading.extracted_document import HEADING_MARK, TOO_MUCH_TEXT, ExtractedDocument, UnreadableDocument
from persona_exp.corpus.reading.removed_text import Cuts
from persona_exp.corpus.reading.zip_bomb_guard import open_archive

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
BREAKS = {W + "tab": "\t", W + "br": "\n", W + "cr": "\n", W + "noBreakHyphen": "-"}


def read_docx(path: Path) -> ExtractedDocument:
    """Return the text of a Word document, headings marked, footnote marks cut. Raise UnreadableDocument as `open_archive` does."""
    from docx import Document

    open_archive(path).close()
    document = Document(str(path))
    styles = {style.style_id: _level(style) for style in document.styles}
    cuts = Cuts()
    text: list[str] = []
    characters = 0
    for paragraph in document.element.body.iter(W + "p"):
        words = _words(paragraph, cuts)
        characters += len(words)
        if characters > MAX_CHARACTERS:
            raise UnreadableDocument(TOO_MUCH_TEXT)
        level = _level_of(paragraph, styles)
        marked = level is not None and words.strip() and len(words) <= 200
        text.append(f"{HEADING_MARK}{level}{' '.join(words.split())}" if marked else words)
    return ExtractedDocument("\n\n".join(text) + "\n", document.core_properties.title or None, cuts.all())


def _level(style: Any) -> int | None:
    """Return the level of a heading style, or of the one that it is based on."""
    for _ in range(9):
        if style is None:
            return None
        name = (style.name or "").lower()
        if name == "title":
            return 1
        if name.startswith("heading ") and name[8:].isdigit():
            return min(9, int(name[8:]) + 1)
        style = getattr(style, "base_style", None)
    return None


def _level_of(paragraph: Any, styles: dict[str, int | None]) -> int | None:
    properties = paragraph.find(W + "pPr")
    if properties is None:
        return None
    outline = properties.find(W + "outlineLvl")
    if outline is not None and (outline.get(W + "val") or "").isdigit() and int(outline.get(W + "val")) < 9:
        return min(9, int(outline.get(W + "val")) + 2)
    style = properties.find(W + "pStyle")
    return styles.get(style.get(W + "val")) if style is not None else None


def _words(paragraph: Any, cuts: Cuts) -> str:
    """Return the words of a paragraph, without deleted ones, those of text boxes, and marks of footnotes."""
    words: list[str] = []
    for element in paragraph.iter(W + "t", W + "footnoteReference", W + "endnoteReference", *BREAKS):
        owner = next(element.iterancestors(W + "p"), None)
        if owner is not paragraph:
            continue
        if element.tag == W + "t":
            words.append(element.text or "")
        elif element.tag in BREAKS:
            words.append("" if element.get(W + "type") == "page" else BREAKS[element.tag])
        else:
            cuts.add("footnote marker", element.get(W + "id") or "*")
    return "".join(words)
