"""An epub's text, in the order of its spine."""

import posixpath
import re
import zipfile
from html.entities import html5
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag

from lxml import etree

from persona_exp.corpus.reading.book_size_limits import MAX_CHARACTERS
from persona_exp.corpus.reading.extracted_document import (
    DAMAGED,
    HEADING_MARK,
    TOO_MUCH_TEXT,
    ExtractedDocument,
    UnreadableDocument,
)
from persona_exp.corpus.reading.removed_text import Cuts
from persona_exp.corpus.reading.zip_bomb_guard import open_archive

# fmt: off
BLOCKS = frozenset((
    "address", "article", "aside", "blockquote", "body", "center", "dd", "div", "dl", "dt", "fieldset", "figcaption",
    "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "li", "main",
    "nav", "ol", "p", "pre", "section", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul",
))
# fmt: on
HEADINGS = {"h1": 1, "h2": 2, "h3": 3, "h4": 4, "h5": 5, "h6": 6}
SILENT = frozenset(["head", "script", "style", "svg", "math", "object", "audio", "video", "iframe", "template", "title", "rt", "rp"])
# Obfuscated fonts are no lock on the text.
FONTS_ONLY = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
ENTITY = re.compile(rb"&([A-Za-z][A-Za-z0-9]{1,30});")
KEPT_ENTITIES = frozenset((b"amp", b"lt", b"gt", b"quot", b"apos"))
SPACE = re.compile(r"[ \t\n\r\f\v]+")


def read_epub(path: Path) -> ExtractedDocument:
    """Return the text of an epub, headings marked. Raise UnreadableDocument if it is damaged or locked (DRM), or unpacks to too much."""
    with open_archive(path) as archive:
        _check_locks(archive)
        container = _xml(_member(archive, "META-INF/container.xml"))
        opf = next((element.get("full-path") for element in container.iter("{*}rootfile") if element.get("full-path")), None)
        if opf is None:
            raise UnreadableDocument(DAMAGED)
        package = _xml(_member(archive, opf))
        items = {item.get("id"): item for item in package.iter("{*}item")}
        title = next(("".join(element.itertext()).strip() for element in package.iter("{http://purl.org/dc/elements/1.1/}title")), None)
        cuts = Cuts()
        text: list[str] = []
        for place in package.iter("{*}itemref"):
            item = items.get(place.get("idref"))
            if item is None or not item.get("href") or place.get("linear") == "no":
                continue
            name = posixpath.normpath(posixpath.join(posixpath.dirname(opf), unquote(urldefrag(item.get("href"))[0])))
            if name not in archive.NameToInfo or "html" not in (item.get("media-type") or "html"):
                continue
            page = _blocks(_html(archive.read(name)), cuts)
            if "nav" in (item.get("properties") or "").split():
                cuts.add("contents list", "\n".join(page))
                continue
            text += page
            if sum(map(len, page)) > MAX_CHARACTERS:
                raise UnreadableDocument(TOO_MUCH_TEXT)
    return ExtractedDocument("\n\n".join(text) + "\n", title or None, cuts.all())


def _check_locks(archive: zipfile.ZipFile) -> None:
    if "META-INF/encryption.xml" not in archive.NameToInfo:
        return
    locks = _xml(archive.read("META-INF/encryption.xml"))
    methods = [element.get("Algorithm") for element in locks.iter("{*}EncryptionMethod")]
    if any(method not in FONTS_ONLY for method in methods):
        raise UnreadableDocument("is encrypted (DRM); give a copy without it")


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    if name not in archive.NameToInfo:
        raise UnreadableDocument(DAMAGED)
    return archive.read(name)


def _xml(data: bytes) -> Any:
    """Return the root of an XML file; its entities stay unresolved, so that none can grow."""
    try:
        return etree.fromstring(data, _strict_parser())
    except etree.XMLSyntaxError:
        raise UnreadableDocument(DAMAGED) from None


def _strict_parser() -> etree.XMLParser:
    return etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True)


def _html(data: bytes) -> Any:
    """Return the root of an XHTML page; one that is no XML is read as the HTML that it then is."""

    def number(match: re.Match[bytes]) -> bytes:
        character = html5.get(match[1].decode() + ";")
        if match[1] in KEPT_ENTITIES or character is None:
            return match[0]
        return "".join(f"&#{ord(part)};" for part in character).encode()

    data = ENTITY.sub(number, data)
    try:
        return etree.fromstring(data, _strict_parser())
    except etree.XMLSyntaxError:
        encoding = "utf-8" if _is_utf_8(data) else None
        lenient = etree.HTMLParser(no_network=True, huge_tree=False, remove_comments=True, remove_pis=True, encoding=encoding)
        root = etree.fromstring(data, lenient) if data.strip() else None
        return etree.Element("html") if root is None else root


def _is_utf_8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _blocks(root: Any, cuts: Cuts) -> list[str]:
    """Return the blocks of a page in order, headings marked; notes' marks, notes and page numbers cut."""
    blocks: list[str] = []
    words: list[str] = []
    level: int | None = None

    def close() -> None:
        nonlocal level
        text = "\n".join(SPACE.sub(" ", line).strip() for line in "".join(words).split("\0")).strip()
        words.clear()
        if text:
            blocks.append(f"{HEADING_MARK}{level}{SPACE.sub(' ', text)}" if level is not None and len(text) <= 200 else text)

    walk = etree.iterwalk(root, events=("start", "end"))
    for event, element in walk:
        tag = etree.QName(element).localname.lower() if isinstance(element.tag, str) else ""
        if event == "end":
            if tag in BLOCKS:
                close()
                level = None if tag in HEADINGS else level
            words.append(element.tail or "")
            continue
        kind = _cut_kind(element, tag)
        if kind is not None or tag in SILENT or not tag:
            if kind is not None:
                cuts.add(kind, "".join(element.itertext()) or element.get("title") or "")
            # Its end event still comes, with the text behind it.
            walk.skip_subtree()
            continue
        if tag in BLOCKS:
            close()
            level = HEADINGS.get(tag, level)
        if tag == "br":
            words.append("\0")
        elif tag == "hr":
            close()
            blocks.append("* * *")
        words.append(element.text or "")
    close()
    return blocks


def _cut_kind(element: Any, tag: str) -> str | None:
    """Return what an element is, where it is none of the book's words."""
    role = " ".join(value for name, value in element.attrib.items() if re.split("[}:]", name)[-1] in ("type", "role")).lower()
    classes = (element.get("class") or "").lower().split()
    if "pagebreak" in role or "pagenum" in classes or "pageno" in classes:
        return "page number"
    if tag == "nav" or "doc-toc" in role or ("toc" in classes and tag in BLOCKS):
        return "contents list"
    if "noteref" in role or "noteref" in classes or "fnanchor" in classes:
        return "footnote marker"
    if "footnote" in role.split() or "doc-footnote" in role or "endnote" in role.split():
        return "footnote"
    if tag == "sup" and re.fullmatch(r"[\[(]?(?:\d{1,3}|[*†‡])[\])]?", "".join(element.itertext()).strip()):
        return "footnote marker"
    if "caption" in classes or tag == "figcaption":
        return "illustration"
    return None
