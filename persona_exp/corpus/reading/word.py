"""A Word document's text."""

import zipfile
from pathlib import Path
from typing import Any

from persona_exp.corpus.reading.cuts import Cuts
from persona_exp.corpus.reading.unreadable import HEADING, MAX_CHARACTERS, Unreadable

MAX_UNPACKED = 256 << 20
W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
BREAKS = {W + "tab": "\t", W + "br": "\n", W + "cr": "\n", W + "noBreakHyphen": "-"}
DAMAGED = "is damaged; save it anew, or save it as .txt"


def check_unpacked(path: Path) -> zipfile.ZipFile:
    """The archive at `path`. Unreadable: not a zip archive, encrypted, or text that unpacks to more than any novel (a zip bomb)."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise Unreadable(DAMAGED) from None
    inside = archive.infolist()
    if any(info.flag_bits & 1 for info in inside):
        raise Unreadable("is encrypted; save it without a password")
    texts = sum(info.file_size for info in inside if not info.filename.lower().endswith((".png", ".jpg", ".jpeg", ".gif", ".ttf", ".otf")))
    if texts > MAX_UNPACKED or len(inside) > 50_000:
        raise Unreadable(f"unpacks to {texts >> 20} MiB in {len(inside)} files, more than any novel; give one file a book")
    return archive


def read_docx(path: Path) -> tuple[str, str | None, Cuts]:
    """Text with headings marked, title, what was cut (footnote marks). Unreadable: damaged, encrypted, a bomb."""
    from docx import Document

    check_unpacked(path).close()
    document = Document(str(path))
    styles = {style.style_id: _level(style) for style in document.styles}
    cuts = Cuts()
    text: list[str] = []
    characters = 0
    for paragraph in document.element.body.iter(W + "p"):
        words = _words(paragraph, cuts)
        characters += len(words)
        if characters > MAX_CHARACTERS:
            raise Unreadable("holds more text than any novel; give one file a book")
        level = _level_of(paragraph, styles)
        marked = level is not None and words.strip() and len(words) <= 200
        text.append(f"{HEADING}{level}{' '.join(words.split())}" if marked else words)
    return "\n\n".join(text) + "\n", document.core_properties.title or None, cuts


def _level(style: Any) -> int | None:
    """The level of a heading style, or of the one that it is based on."""
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
    """The words of a paragraph, without deleted ones, those of text boxes, and marks of footnotes."""
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
