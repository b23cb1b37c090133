from pathlib import Path

import pytest

from persona_exp.corpus.book import Book, read_book
from persona_exp.corpus.reading import sandboxed_extraction
from persona_exp.corpus.reading.book_files import book_files
from persona_exp.corpus.reading.paragraphs_and_scenes import find_paragraphs, on_one_line
from persona_exp.errors import UserError
from tests.corpus import documents
from tests.corpus.malformed import ENCRYPTION, LOCK, sound

NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight")
# No line is like another, as in a book.
LONG = tuple(
    (heading, [f"{heading} {number}. {paragraph} {number}." for number in NUMBERS for paragraph in (*paragraphs, " ".join(paragraphs * 4))])
    for heading, paragraphs in documents.CHAPTERS
)
MADE = {
    "docx": lambda: documents.docx(LONG),
    "epub": lambda: documents.epub([documents.page(*chapter) for chapter in LONG]),
    "pdf": lambda: documents.pdf(documents.novel_pages(LONG)),
}


def book_of(data: bytes, tmp_path: Path, name: str = "low_water.bin") -> Book:
    (tmp_path / name).write_bytes(data)
    return read_book(tmp_path / name)


@pytest.mark.parametrize("format", sorted(MADE))
@pytest.mark.parametrize("ending", ["docx", "epub", "pdf", "txt"])
def test_the_format_is_found_by_the_contents_and_every_paragraph_comes_whole(format: str, ending: str, tmp_path: Path) -> None:
    book = book_of(MADE[format](), tmp_path, f"low_water.{ending}")
    assert [chapter.title for chapter in book.chapters] == ["The Bell", "The Buoy", "The Ferry"]
    for chapter, (_, paragraphs) in zip(book.chapters, LONG, strict=True):
        found = [on_one_line(book.text[one.start : one.end]) for one in find_paragraphs(book.text, chapter.start, chapter.end)]
        assert found == list(paragraphs)
    assert book.id == "low_water"


def test_titles_come_from_the_file(tmp_path: Path) -> None:
    assert book_of(MADE["docx"](), tmp_path).title == "Low Water"
    assert book_of(MADE["epub"](), tmp_path).title == "Low Water"


def test_running_titles_and_page_numbers_of_a_pdf_are_cut_and_counted(tmp_path: Path) -> None:
    pages = len(documents.novel_pages(LONG))
    cuts = {cut.kind: cut for cut in book_of(MADE["pdf"](), tmp_path).cuts}
    assert cuts["running title"].number == pages
    assert cuts["running title"].samples[0] == "Low Water"
    assert cuts["page number"].number == pages
    assert cuts["page number"].samples[:2] == ("1", "2")


def test_a_damaged_page_of_a_pdf_is_left_out_and_counted(tmp_path: Path) -> None:
    data = documents.pdf([[(72.0, 700.0, 11.0, word)] for word in ("First.", "Second.", "Third.")])
    book = book_of(data.replace(b"6 0 obj\n<< /Type /Page ", b"6 0 obj\n<< /Type /Pane "), tmp_path)
    assert book.text.split() == ["First.", "Third."]
    assert [(cut.kind, cut.number, cut.samples) for cut in book.cuts] == [("damaged page", 1, ("page 2",))]


def test_hyphens_at_the_line_ends_of_a_pdf(tmp_path: Path) -> None:
    lines = ["The light-", "house keeper of the wicket-", "gate saw a wicket-gate.", "“The lighthouse,” he said, “is dark.”"]
    data = documents.pdf([[(72, 700 - 14 * place, 11, line) for place, line in enumerate(lines)]])
    assert "lighthouse keeper of the wicket-gate saw" in on_one_line(book_of(data, tmp_path).text)


def test_parts_of_a_docx_stand_above_its_chapters(tmp_path: Path) -> None:
    from docx import Document

    document = Document()
    for part in ("Ebb", "Flood"):
        document.add_heading(part, 1)
        for chapter in ("The Bell", "The Buoy"):
            document.add_heading(chapter, 2)
            document.add_paragraph("It rang. Nobody came.")
    document.save(str(tmp_path / "low_water.docx"))
    found = [(chapter.part, chapter.title) for chapter in read_book(tmp_path / "low_water.docx").chapters]
    assert found == [("Ebb", "The Bell"), ("Ebb", "The Buoy"), ("Flood", "The Bell"), ("Flood", "The Buoy")]


def test_what_an_epub_page_has_beside_its_words(tmp_path: Path) -> None:
    body = (
        "<html xmlns:epub='http://www.idpf.org/2007/ops'><head><title>x</title><style>p {}</style></head><body>"
        "<h2>CHAPTER I.<br/>The Bell</h2><p>It&nbsp;rang &mdash;<i>twice</i>.<a epub:type='noteref'>1</a> "
        "<span class='pagenum'>[12]</span>Nobody   came.</p><hr/><p>Caf&eacute;<br>open.</p>"
        "<aside epub:type='footnote'><p>1 A note.</p></aside></body></html>"
    )
    data = documents.epub([body, body.replace("CHAPTER I.", "CHAPTER II.")])
    book = book_of(data, tmp_path)
    assert [chapter.title for chapter in book.chapters] == ["CHAPTER I. The Bell", "CHAPTER II. The Bell"]
    paragraphs = find_paragraphs(book.text, book.chapters[0].start, book.chapters[0].end)
    assert [book.text[one.start : one.end] for one in paragraphs] == ["It rang —twice. Nobody came.", "Café\nopen."]
    assert [one.scene for one in paragraphs] == [0, 1]
    assert {cut.kind: cut.number for cut in book.cuts} == {"footnote marker": 2, "page number": 2, "footnote": 2}


FONTS = ENCRYPTION.replace("http://www.w3.org/2001/04/xmlenc#aes128-cbc", "http://www.idpf.org/2008/embedding")


def test_obfuscated_fonts_are_no_lock(tmp_path: Path) -> None:
    assert len(book_of(documents.epub(extra=[("META-INF/encryption.xml", FONTS)]), tmp_path).chapters) == 3


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lambda: documents.epub(extra=[("META-INF/encryption.xml", ENCRYPTION)]), "encrypted"),
        (lambda: documents.pdf([[(72, 700, 11, "It rang.")]], LOCK), "without a password"),
        (lambda: documents.pdf([[], []]), "only pictures of pages"),
        (lambda: documents.epub(["<html><body/></html>"]), "holds no text"),
        (lambda: documents.docx((), ""), "holds no text"),
        (lambda: documents.archive({"story.txt": "It rang."}), "neither docx nor epub"),
        (lambda: sound()["epub"][:-500], "damaged docx or epub"),
        (lambda: sound()["pdf"][300:], "damaged PDF"),
    ],
)
def test_what_cannot_be_read_gets_its_sentence(data, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        book_of(data(), tmp_path)


def test_a_reader_that_is_too_slow_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandboxed_extraction, "SECONDS", 0.001)
    monkeypatch.setattr(sandboxed_extraction, "SECONDS_PER_MIB", 0.0)
    with pytest.raises(UserError, match="not read within"):
        book_of(sound()["pdf"], tmp_path)


def test_the_book_files_of_a_folder(tmp_path: Path) -> None:
    for name in ("b.txt", "a.PDF", "c.epub", "d.docx", ".hidden.txt", "~$d.docx", "notes.csv", "read.me"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "e.txt").mkdir()
    assert [path.name for path in book_files(tmp_path)] == ["a.PDF", "b.txt", "c.epub", "d.docx"]
    with pytest.raises(UserError, match="not a folder"):
        book_files(tmp_path / "b.txt")
