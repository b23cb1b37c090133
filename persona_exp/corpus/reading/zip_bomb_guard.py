"""Zip archives (docx, epub) opened only where what they unpack to is no larger than a novel: no zip bomb reaches a parser."""

import zipfile
from pathlib import Path

from persona_exp.corpus.reading.book_size_limits import MAX_ARCHIVE_FILES, MAX_UNPACKED_BYTES
from persona_exp.corpus.reading.extracted_document import DAMAGED, UnreadableDocument

# These are never unpacked.
PICTURES_AND_FONTS = (".png", ".jpg", ".jpeg", ".gif", ".ttf", ".otf")


def open_archive(path: Path) -> zipfile.ZipFile:
    """Open the archive at `path`. Raise UnreadableDocument if it is no zip archive, encrypted, or unpacks to more than any novel."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise UnreadableDocument(DAMAGED) from None
    inside = archive.infolist()
    if any(info.flag_bits & 1 for info in inside):
        raise UnreadableDocument("is encrypted; save it without a password")
    texts = sum(info.file_size for info in inside if not info.filename.lower().endswith(PICTURES_AND_FONTS))
    if texts > MAX_UNPACKED_BYTES or len(inside) > MAX_ARCHIVE_FILES:
        raise UnreadableDocument(f"unpacks to {texts >> 20} MiB in {len(inside)} files, more than any novel; give one file a book")
    return archive
