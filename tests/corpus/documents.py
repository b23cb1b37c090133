"""Small documents for tests, made here: docx by its library, epub and PDF by hand."""

import io
import zipfile
from collections.abc import Sequence

CONTAINER = (
    '<?xml version="1.0"?><container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles>'
    '<rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
)
PARAGRAPHS = (
    "The tide was out, and the buoys lay on the mud like a row of old men asleep.",
    "“You are late,” said the pilot. “The bell has rung twice since you were sent for.”",
    "Nobody answered him. A gull walked along the rail, looked at the lamp, and flew off.",
)
CHAPTERS = tuple((title, PARAGRAPHS) for title in ("The Bell", "The Buoy", "The Ferry"))
Chapters = Sequence[tuple[str, Sequence[str]]]


def docx(chapters: Chapters = CHAPTERS, title: str = "Low Water") -> bytes:
    """A Word document with heading styles."""
    from docx import Document

    document = Document()
    document.add_heading(title, 0)
    for heading, paragraphs in chapters:
        document.add_heading(heading, 1)
        for paragraph in paragraphs:
            document.add_paragraph(paragraph)
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def page(heading: str, paragraphs: Sequence[str]) -> str:
    body = "".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)
    return (
        '<?xml version="1.0"?><!DOCTYPE html><html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops">'
        f"<head><title>{heading}</title></head><body><h2>{heading}</h2>{body}</body></html>"
    )


def epub(pages: Sequence[str] | None = None, title: str = "Low Water", extra: Sequence[tuple[str, str | bytes]] = ()) -> bytes:
    """An epub; the spine is not in the order of the files' names. `extra` are further members, which may replace its own."""
    pages = [page(heading, paragraphs) for heading, paragraphs in CHAPTERS] if pages is None else pages
    names = [f"text/p{len(pages) - number:02}.xhtml" for number in range(len(pages))]
    items = "".join(f'<item id="i{number}" href="{name}" media-type="application/xhtml+xml"/>' for number, name in enumerate(names))
    spine = "".join(f'<itemref idref="i{number}"/>' for number in range(len(names)))
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<dc:title>{title}</dc:title></metadata><manifest>{items}</manifest><spine>{spine}</spine></package>"
    )
    members: dict[str, str | bytes] = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": CONTAINER,
        "OEBPS/book.opf": package,
        **{f"OEBPS/{name}": text for name, text in zip(names, pages, strict=True)},
        **dict(extra),
    }
    return archive(members)


def archive(members: dict[str, str | bytes]) -> bytes:
    """A zip archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name, contents in members.items():
            made.writestr(name, contents)
    return file.getvalue()


Text = tuple[float, float, float, str]


def pdf(pages: Sequence[Sequence[Text]], trailer: str = "", more: Sequence[str] = ()) -> bytes:
    """A PDF of pages of lines: x, y and size in points, text. `trailer` goes into the trailer, `more` are further objects."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count %d /Kids [%s] >>" % (len(pages), b" ".join(b"%d 0 R" % (4 + 2 * index) for index in range(len(pages)))),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Times-Roman /Encoding /WinAnsiEncoding >>",
    ]
    for index, lines in enumerate(pages):
        stream = b"\n".join(b"BT /F1 %g Tf %g %g Td (%s) Tj ET" % (size, x, y, _escaped(text)) for x, y, size, text in lines)
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> >> /Contents %d 0 R >>"
            % (5 + 2 * index)
        )
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
    objects += [one.encode() for one in more]
    data, places = b"%PDF-1.4\n", []
    for number, contents in enumerate(objects, start=1):
        places.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, contents)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    start = len(data)
    data += b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, table)
    return data + b"trailer << /Size %d /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, trailer.encode(), start)


def _escaped(text: str) -> bytes:
    return text.encode("cp1252").replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")


def novel_pages(chapters: Chapters, lines: int = 30, running_title: str = "Low Water") -> list[list[Text]]:
    """Pages of a novel as a printer sets them: running title, page number, headings in larger type, indented first lines."""
    import textwrap

    rows: list[tuple[float, float, str]] = []
    for heading, paragraphs in chapters:
        rows.append((150, 18, heading))
        for paragraph in paragraphs:
            wrapped = textwrap.wrap(paragraph, 60, break_on_hyphens=False)
            rows += [(90 if place == 0 else 72, 11, line) for place, line in enumerate(wrapped)]
    pages: list[list[Text]] = []
    for start in range(0, len(rows), lines):
        body = [(x, 740 - 16 * place, size, text) for place, (x, size, text) in enumerate(rows[start : start + lines])]
        number = len(pages) + 1
        pages.append([(200.0, 790.0, 9.0, running_title), *body, (300.0, 30.0, 9.0, str(number))])
    return pages
