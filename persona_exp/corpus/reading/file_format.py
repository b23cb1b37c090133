"""Which format a book's file has, by its contents, whatever its name ends in."""

import zipfile
from pathlib import Path

from persona_exp.corpus.reading.book_files import file_size
from persona_exp.errors import UserError

SIGNATURE_BYTES = 1024
# How UTF-16 writes the name of the stream that an encrypted Office file keeps its contents in.
ENCRYPTED = "EncryptedPackage".encode("utf-16-le")


def file_format(path: Path) -> str:
    """Return docx, epub, pdf or, for what is none of these, txt, by the file's contents. Raise UserError if it is another archive."""
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
