"""Malformed book files, made from a seed: what readers of novels get from disks, mails and ill-meaning people."""

import os
import random
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tests.corpus import documents

DEPTH = 100_000
BOMB = 300 << 20
LINE = 100_000_000
NOVEL = "\n\n".join(f"CHAPTER {number}\n\n" + "\n\n".join(documents.PARAGRAPHS * 20) for number in range(1, 6)) + "\n"


def sound() -> dict[str, bytes]:
    """One sound file of each format, by its ending."""
    chapters = [(heading, list(paragraphs) * 10) for heading, paragraphs in documents.CHAPTERS]
    return {
        "txt": NOVEL.encode(),
        "docx": documents.docx(chapters),
        "epub": documents.epub([documents.page(*chapter) for chapter in chapters]),
        "pdf": documents.pdf(documents.novel_pages(chapters)),
    }


def make(folder: Path, numbers: Iterable[int], seed: int) -> Iterator[Path]:
    """The malformed files of these numbers in `folder`, one after the other: each special one, the rest cut, flipped, or else damaged."""
    special = list(SPECIAL.items())
    whole = sound()
    for number in numbers:
        if number < len(special):
            name, make_one = special[number]
            path = folder / f"{number:03}_{name}"
            make_one(path)
        else:
            chance = random.Random(seed * 100_000 + number)
            ending = chance.choice(sorted(whole))
            damage = chance.choice(DAMAGES)
            data = damage(whole[ending], chance)
            # One in four has the ending of another format.
            shown = chance.choice(sorted(whole)) if chance.random() < 0.25 else ending
            path = folder / f"{number:03}_{damage.__name__}_{ending}.{shown}"
            path.write_bytes(data)
        yield path


def cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


def headless(data: bytes, chance: random.Random) -> bytes:
    return data[chance.randrange(1, len(data)) :]


def flipped(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 3, 30, 300))):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def blanked(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    end = min(len(data), start + chance.choice((8, 100, 5000)))
    return data[:start] + bytes(end - start) + data[end:]


def shuffled(data: bytes, chance: random.Random) -> bytes:
    pieces = [data[start : start + 512] for start in range(0, len(data), 512)]
    chance.shuffle(pieces)
    return b"".join(pieces)


def doubled(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(1, len(data))] + data


def grown(data: bytes, chance: random.Random) -> bytes:
    """A number in the file (a length, a count, an offset) is now huge."""
    place = chance.randrange(max(1, len(data) - 4))
    return data[:place] + struct.pack("<I", chance.choice((0xFFFFFFFF, 0x7FFFFFFF, 0x10000000))) + data[place + 4 :]


DAMAGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (cut, headless, flipped, blanked, shuffled, doubled, grown)


def _bytes(data: Callable[[], bytes]) -> Callable[[Path], None]:
    def make_one(path: Path) -> None:
        path.write_bytes(data())

    return make_one


def _bomb(name: str, around: Callable[[], dict[str, str | bytes]]) -> Callable[[Path], None]:
    """A zip archive with a member that unpacks to `BOMB` bytes of one letter."""

    def make_one(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
            for other, contents in around().items():
                made.writestr(other, contents)
            with made.open(name, "w") as member:
                for _ in range(BOMB >> 20):
                    member.write(b"a" * (1 << 20))

    return make_one


def _lying_bomb(path: Path) -> None:
    """A bomb that states another size than it has."""
    page = "OEBPS/text/p03.xhtml"
    _bomb(page, lambda: {name: contents for name, contents in _members(documents.epub()).items() if name != page})(path)
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<I", BOMB), struct.pack("<I", 1000)))


def _members(data: bytes) -> dict[str, str | bytes]:
    import io

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _docx_with(document: str) -> bytes:
    return documents.archive({**_members(documents.docx()), "word/document.xml": document})


W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
LAUGHS = "<!DOCTYPE l [<!ENTITY a0 'ha ha ha ha'>" + "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 12)) + "]>"
ENCRYPTION = (
    '<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><EncryptedData xmlns="http://www.w3.org/2001/04/xmlenc#">'
    '<EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#aes128-cbc"/></EncryptedData></encryption>'
)
OUTSIDE = '<!DOCTYPE l [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
LOCK = "/Encrypt << /Filter /Standard /V 1 /R 2 /O <{0}> /U <{0}> /P -44 >> /ID [<00><00>]".format("41" * 32)
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)


def _in_zip(levels: int) -> bytes:
    data = documents.epub()
    for level in range(levels):
        data = documents.archive({f"{level}.epub": data})
    return data


def _many_members() -> bytes:
    return documents.archive({**_members(documents.epub()), **{f"OEBPS/{number}": b"" for number in range(60_000)}})


def _pdf_with(*more: str, kids: str = "4 0 R") -> bytes:
    return documents.pdf([[(72, 700, 11, "It rang.")]], more=more).replace(b"/Kids [4 0 R]", f"/Kids [{kids}]".encode())


def _long_line(piece: bytes) -> Callable[[Path], None]:
    def make_one(path: Path) -> None:
        with path.open("wb") as file:
            for _ in range(LINE // (1 << 20) + 1):
                file.write((piece * ((1 << 20) // len(piece) + 1))[: 1 << 20])

    return make_one


def _unreadable(path: Path) -> None:
    path.write_text("It rang.\n")
    path.chmod(0)


def _nested(tag: str) -> str:
    return f"<{tag}>" * DEPTH + "deep" + f"</{tag}>" * DEPTH


SPECIAL: dict[str, Callable[[Path], None]] = {
    "spaces.txt": _long_line(b"tide "),
    "letters.txt": _long_line(b"t"),
    "line_4mb.txt": _bytes(lambda: b"tide " * 800_000),
    "letters_4mb.txt": _bytes(lambda: b"t" * 4_000_000),
    "blanks.txt": _bytes(lambda: b"a" + b" " * 3_900_000 + b"b\n"),
    "dots.txt": _bytes(lambda: b"a" + b"." * 3_900_000 + b"b\n"),
    "underscores.txt": _bytes(lambda: b"_a " * 1_300_000),
    "brackets.txt": _bytes(lambda: b"[" * 3_900_000),
    "illustrations.txt": _bytes(lambda: b"[Illustration " * 270_000),
    "notes.txt": _bytes(lambda: b"[Illustration" + b"[a]" * 1_300_000),
    "lines.txt": _bytes(lambda: b"a\n" * 900_000),
    "breaks.txt": _bytes(lambda: b"a" + b"\n" * 16_000_000 + b"b."),
    "numbers.txt": _bytes(lambda: b"12\n\n" * 450_000),
    "pages.txt": _bytes(lambda: b"It rang.\f" * 900_000),
    "headings.txt": _bytes(lambda: b"CHAPTER I\n\nIt rang.\n\n" * 60_000),
    "numerals.txt": _bytes(lambda: b"I.\n\nIt rang.\n\n" * 60_000),
    "hyphens.txt": _bytes(lambda: b"ex-\nam" * 200_000),
    "dashes.txt": _bytes(lambda: b"-\n" * 900_000),
    "stars.txt": _bytes(lambda: b"*** START OF THE PROJECT GUTENBERG \n" * 400_000),
    "twice.txt": _bytes(lambda: "“é”\n".encode().decode("latin-1").encode() * 100_000),
    "zeros.txt": _bytes(lambda: bytes(1_000_000)),
    "noise.txt": _bytes(lambda: random.Random(1).randbytes(1_000_000)),
    "utf16_half.txt": _bytes(lambda: NOVEL.encode("utf-16")[:-1]),
    "surrogates.txt": _bytes(lambda: b"\xff\xfe" + b"\x00\xd8" * 1000),
    "empty.txt": _bytes(lambda: b""),
    "blank.txt": _bytes(lambda: b" \r\n\t" * 1000),
    "mark.txt": _bytes(lambda: b"\xef\xbb\xbf"),
    "headings_only.txt": _bytes(lambda: b"CHAPTER I\n\nCHAPTER II\n"),
    "folder.txt": lambda path: path.mkdir(),
    "pipe.txt": lambda path: os.mkfifo(path),
    "pipe.pdf": lambda path: os.mkfifo(path),
    "zero.txt": lambda path: path.symlink_to("/dev/zero"),
    "null.epub": lambda path: path.symlink_to("/dev/null"),
    "memory.txt": lambda path: path.symlink_to("/proc/self/mem"),
    "missing.txt": lambda path: path.symlink_to(path.parent / "nowhere.txt"),
    "loop.txt": lambda path: path.symlink_to(path),
    "unreadable.txt": _unreadable,
    "empty.docx": _bytes(lambda: documents.docx((), "")),
    "empty.epub": _bytes(lambda: documents.epub(["<html><body/></html>"])),
    "no_pages.epub": _bytes(lambda: documents.epub([])),
    "empty.pdf": _bytes(lambda: documents.pdf([])),
    "pictures.pdf": _bytes(lambda: documents.pdf([[], [], []])),
    "locked.pdf": _bytes(lambda: documents.pdf([[(72, 700, 11, "It rang.")]], LOCK)),
    "locked.docx": _bytes(lambda: OLE + "EncryptedPackage".encode("utf-16-le") + bytes(2000)),
    "old.doc": _bytes(lambda: OLE + bytes(2000)),
    "locked.epub": _bytes(lambda: documents.epub(extra=[("META-INF/encryption.xml", ENCRYPTION)])),
    "bomb.epub": _bomb("OEBPS/text/p03.xhtml", lambda: {"META-INF/container.xml": documents.CONTAINER}),
    "bomb.docx": _bomb("word/document.xml", lambda: {"[Content_Types].xml": _members(documents.docx())["[Content_Types].xml"]}),
    "lying_bomb.epub": _lying_bomb,
    "zip_in_zip.epub": _bytes(lambda: _in_zip(30)),
    "members.epub": _bytes(_many_members),
    "deep.epub": _bytes(lambda: documents.epub([f"<html><body>{_nested('div')}</body></html>"])),
    "deep_package.epub": _bytes(lambda: documents.epub(extra=[("OEBPS/book.opf", _nested("a"))])),
    "deep.docx": _bytes(lambda: _docx_with(f"<w:document {W}><w:body>{_nested('w:p')}</w:body></w:document>")),
    "laughs.epub": _bytes(lambda: documents.epub([f"{LAUGHS}<html><body><p>&a11;</p></body></html>"])),
    "laughs_package.epub": _bytes(lambda: documents.epub(extra=[("OEBPS/book.opf", f"{LAUGHS}<package>&a11;</package>")])),
    "laughs.docx": _bytes(
        lambda: _docx_with(f"{LAUGHS}<w:document {W}><w:body><w:p><w:r><w:t>&a11;</w:t></w:r></w:p></w:body></w:document>")
    ),
    "outside.epub": _bytes(lambda: documents.epub([f"{OUTSIDE}<html><body><p>&x;</p></body></html>"])),
    "wide.epub": _bytes(lambda: documents.epub(["<html><body>" + "<p>" * 2_000_000 + "</body></html>"])),
    "attributes.epub": _bytes(lambda: documents.epub(["<p " + "".join(f'a{n}="b" ' for n in range(300_000)) + ">x.</p>"])),
    "spine_loop.epub": _bytes(
        lambda: documents.epub(extra=[("META-INF/container.xml", documents.CONTAINER.replace("book.opf", "none.opf"))])
    ),
    "kids_loop.pdf": _bytes(lambda: _pdf_with(kids="2 0 R 2 0 R 4 0 R")),
    "kids_many.pdf": _bytes(lambda: _pdf_with(kids="4 0 R " * 500_000).replace(b"/Count 1", b"/Count 500000")),
    "count.pdf": _bytes(lambda: _pdf_with().replace(b"/Count 1", b"/Count 2147483647")),
    "deep.pdf": _bytes(lambda: _pdf_with("[" * DEPTH + "]" * DEPTH)),
    "deep_page.pdf": _bytes(lambda: _pdf_with().replace(b"(It rang.) Tj", b"[" * DEPTH + b"]" * DEPTH)),
    "text.pdf": _bytes(lambda: documents.pdf([[(72, 700, 11, "tide " * 600_000)]])),
    "nothing.pdf": _bytes(lambda: b"%PDF-1.7\n%%EOF"),
    "letter.epub": _bytes(lambda: b"PK\x03\x04"),
    "story.pdf": _bytes(lambda: NOVEL.encode()),
    "other.docx": _bytes(lambda: documents.archive({"story.txt": NOVEL})),
    "picture.txt": _bytes(lambda: b"\x89PNG\r\n\x1a\n" + bytes(1000)),
    "rich.txt": _bytes(lambda: rb"{\rtf1 It rang.}"),
}
