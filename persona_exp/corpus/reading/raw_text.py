"""A book's file, whatever its format, to text before cleaning."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from persona_exp.corpus.reading.book_files import read_bytes
from persona_exp.corpus.reading.book_size_limits import MAX_TEXT_BYTES
from persona_exp.corpus.reading.file_format import file_format
from persona_exp.corpus.reading.removed_text import Cut
from persona_exp.corpus.reading.sandboxed_extraction import extract_document
from persona_exp.corpus.reading.text_decoding import check_lines, decode_with_repairs, show_invisible


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
    """Return the text of the txt, docx, epub or pdf at `path`. Raise UserError if it is none of these, damaged, locked, empty or huge."""
    format = file_format(path)
    if format != "txt":
        document = extract_document(path, format)
        text = show_invisible(document.text)
        check_lines(text, str(path))
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return RawText(format, text, digest, document.title, cuts=document.cuts)
    data = read_bytes(path, MAX_TEXT_BYTES)
    decoded = decode_with_repairs(data, str(path))
    return RawText(format, decoded.text, hashlib.sha256(data).hexdigest(), None, decoded.encoding, decoded.repairs)
