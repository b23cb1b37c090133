"""A book's file, whatever its format, to text as it stands there."""

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path

from persona_exp.corpus.reading.container import extract
from persona_exp.corpus.reading.cuts import Cut
from persona_exp.corpus.reading.files import file_size, read_bytes
from persona_exp.corpus.reading.text import MAX_BYTES, check_lines, decode_fully, show_invisible
from persona_exp.errors import UserError

SIGNATURE_BYTES = 1024
# How UTF-16 writes the name of the stream that an encrypted Office file keeps its contents in.
ENCRYPTED = "EncryptedPackage".encode("utf-16-le")


@dataclass(frozen=True)
class RawText:
    """A file's text before cleaning; `format` is txt, docx, epub or pdf; `encoding` and `repairs` are a txt's; `sha256` is the file's."""

    format: str
    text: str
    sha256: str
    title: str | None = None
    encoding: str = ""
    repairs: tuple[str, ...] = ()
    cuts: tuple[Cut, ...] = ()


def read_raw(path: Path) -> RawText:
    """The text of a txt, docx, epub or pdf, told apart by what is in it. UserError: none of these, damaged, encrypted, empty, huge."""
    format = file_format(path)
    if format != "txt":
        contents = extract(path, format)
        text = show_invisible(contents.text)
        check_lines(text, str(path))
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return RawText(format, text, digest, contents.title, cuts=contents.cuts)
    data = read_bytes(path, MAX_BYTES)
    decoded = decode_fully(data, str(path))
    return RawText(format, decoded.text, hashlib.sha256(data).hexdigest(), None, decoded.encoding, decoded.repairs)


def file_format(path: Path) -> str:
    """txt, docx, epub or pdf, by the file's contents; what is none of these is left to the decoder of text. UserError: another archive."""
    file_size(path)
    with path.open("rb") as file:
        start = file.read(SIGNATURE_BYTES)
        if start.startswith(b"\xd0\xcf\x11\xe0"):
            file.seek(0)
            if ENCRYPTED in file.read(1 << 20):
                raise UserError(f"The book {path} is an encrypted Word document; save it without a password.")
    # Readers of PDF allow some bytes before its mark.
    if b"%PDF-" in start and not start[: start.index(b"%PDF-")].strip().isalnum():
        return "pdf"
    if start.startswith(b"PK\x03\x04"):
        return _zip_format(path)
    return "txt"


def _zip_format(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.NameToInfo
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise UserError(f"The book {path} is a damaged docx or epub; save it anew, or save it as .txt.") from None
    if "META-INF/container.xml" in names:
        return "epub"
    if "word/document.xml" in names or "[Content_Types].xml" in names:
        return "docx"
    raise UserError(f"The book {path} is a zip archive, but neither docx nor epub; unpack it first.")
