"""A file's bytes to text: encodings told apart and repaired, line ends made one."""

import re
from pathlib import Path

from persona_exp.errors import UserError

# What English novels hold beyond ASCII. A decoding that yields these is right; one that yields "Õ" for an apostrophe is not.
EXPECTED = frozenset("“”‘’—–…†°£½¼¾§éèêëàâäáçîïíôöóùûüúñœæÉÈÀÆŒ")
SIGNATURES = {
    b"%PDF": "a PDF",
    b"PK\x03\x04": "a zip archive (docx or epub)",
    b"\x1f\x8b": "a gzip archive",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"\xd0\xcf\x11\xe0": "an old Word file",
    b"{\\rtf": "an RTF file",
}
INVISIBLE = {
    ord("\ufeff"): None,
    ord("\u00ad"): None,
    ord("\u200b"): None,
    ord("\u00a0"): " ",
    ord("\f"): "\n\n",
    ord("\v"): "\n",
    ord("\u2028"): "\n",
    ord("\u2029"): "\n\n",
    ord("\u0085"): "\n",
}


def read_text(path: Path) -> tuple[str, bytes]:
    """The text of the file at `path`, decoded, with the bytes it came from. UserError: missing, not a file, empty, not text."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"The book {path} does not exist; correct corpus.dir or corpus.books.") from None
    except IsADirectoryError:
        raise UserError(f"The book {path} is a folder; name a text file in corpus.books.") from None
    except PermissionError:
        raise UserError(f"The book {path} may not be read; give this user permission to read it.") from None
    return decode(data, str(path)), data


def decode(data: bytes, name: str) -> str:
    """Text of `data` with "\\n" line ends: UTF-8 (also encoded twice), UTF-16 with its mark, Windows-1252, Latin-1, Mac Roman.

    `name` is what an error calls the file. UserError: empty, or not text.
    """
    if not data.strip():
        raise UserError(f"The book {name} is empty; give a text file.")
    for signature, kind in SIGNATURES.items():
        if data.startswith(signature):
            raise UserError(f"The book {name} is {kind}, not plain text; save it as .txt first.")
    text = _unicode(data, name)
    text = text.replace("\r\n", "\n").replace("\r", "\n").translate(INVISIBLE)
    controls = sum(character < " " and character not in "\n\t" for character in text)
    if controls > len(text) / 1000:
        raise UserError(f"The book {name} is a binary file, not plain text; save it as .txt first.")
    if not text.strip():
        raise UserError(f"The book {name} is empty; give a text file.")
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", "", text)


def _unicode(data: bytes, name: str) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError:
            raise UserError(f"The book {name} is a binary file, not plain text; save it as .txt first.") from None
    if b"\0" in data:
        raise UserError(f"The book {name} is a binary file, not plain text; save it as .txt first.")
    try:
        return _undo_double_encoding(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return _one_byte(data)


def _one_byte(data: bytes) -> str:
    """Text in an encoding of one byte a character: the one whose reading looks most like a book."""
    candidates = [data.decode("cp1252", errors="replace"), data.decode("mac_roman")]
    best = max(candidates, key=_plausibility)
    # Bytes that Windows-1252 leaves undefined are Latin-1's control characters, which is what the file then means.
    return data.decode("latin-1") if best is candidates[0] and "\ufffd" in best else best


def _plausibility(text: str) -> int:
    beyond_ascii = re.findall(r"[^\x00-\x7f]", text)
    return sum(1 if character in EXPECTED else -1 for character in beyond_ascii)


def _byte_table() -> dict[str, int]:
    table = {chr(byte): byte for byte in range(0x80, 0x100)}
    for byte in range(0x80, 0xA0):
        table[bytes([byte]).decode("cp1252", errors="ignore") or chr(byte)] = byte
    return table


BYTE_OF = _byte_table()
MISREAD = re.compile(
    "["
    + re.escape("".join(character for character, byte in BYTE_OF.items() if byte >= 0xC2))
    + "]["
    + re.escape("".join(character for character, byte in BYTE_OF.items() if byte < 0xC0))
    + "]{1,3}"
)


def _undo_double_encoding(text: str) -> str:
    """Put right UTF-8 that was read as Latin-1 or Windows-1252 and encoded again ("â€™" for "’")."""

    def repair(match: re.Match[str]) -> str:
        run = bytes(BYTE_OF[character] for character in match[0])
        for length in range(len(run), 1, -1):
            try:
                repaired = run[:length].decode()
            except UnicodeDecodeError:
                continue
            if all(character in EXPECTED or character == "\ufeff" for character in repaired):
                return repaired + match[0][length:]
        return match[0]

    # "É—" alone could be both; a text that was encoded twice shows it at every quotation mark.
    if len(re.findall("â[\x80€]|Ã[©¨¢ª]", text)) < 3:
        return text
    return MISREAD.sub(repair, text)
