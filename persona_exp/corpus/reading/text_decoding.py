"""A text file's bytes to text: its encoding detected, what was encoded twice repaired, line ends made one."""

import re
from dataclasses import dataclass

from persona_exp.corpus.reading.book_size_limits import MAX_LINE, MAX_LINES
from persona_exp.errors import UserError

# Ends a page, or a section of a file whose lines end in CR: kept until the page's furniture is gone.
PAGE = "\f"
# What English novels hold beyond ASCII. A decoding that yields these is right; one that yields "Õ" for an apostrophe is not.
EXPECTED = frozenset("“”‘’—–…†°º£½¼¾§éèêëàâäáçîïíñôöóùûüúœæÉÈÀÆŒ")
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
    "\ufeff": "",
    "\u00ad": "",
    "\u200b": "",
    "\u00a0": " ",
    "\v": "\n",
    "\u2028": "\n",
    "\u2029": "\n\n",
    "\u0085": "\n",
}
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]+")
# Accents that a PDF's text has lost from their letters ("outre´", "ecart´ e"), and what they make of a letter.
ACCENTS = {"´": "\u0301", "ˆ": "\u0302", "˜": "\u0303", "¨": "\u0308"}
STRAY = re.compile(r"(?P<before>\w?)(?P<accent>[´ˆ˜¨])(?P<after> ?[A-Za-z](?![A-Za-z]))?")
TWICE = re.compile("â[\x80€]|Ã[©¨¢ª]|Â[£º°½]")
# How Python shows a byte that is not UTF-8.
OTHER_BYTE = re.compile("[\udc80-\udcff]")
BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
NO_TEXT = "is a binary file, not plain text; save it as .txt first"


@dataclass(frozen=True)
class Decoded:
    """`text` with "\\n" line ends and `PAGE` where a page ends; the encoding it was in; what was put right, in words."""

    text: str
    encoding: str
    repairs: tuple[str, ...] = ()


def decode(data: bytes, name: str) -> str:
    """Return text of `data` with "\n" line ends: UTF-8 (also encoded twice), UTF-16, Windows-1252, Latin-1, Mac Roman.

    `name` is what an error calls the file. Raise UserError if it is empty, or not text.
    """
    return decode_with_repairs(data, name).text.replace(PAGE, "\n\n")


def decode_with_repairs(data: bytes, name: str) -> Decoded:
    """Return what `decode` does with page ends kept, and with the encoding and the repairs. Raise UserError as `decode` does."""
    if not data or data.isspace():
        raise UserError(f"The book {name} is empty; give a text file.")
    for signature, kind in SIGNATURES.items():
        if data.startswith(signature):
            raise UserError(f"The book {name} is {kind}, not plain text; save it as .txt first.")
    if data.count(b"endobj") > 2 and b"endstream" in data:
        raise UserError(f"The book {name} is a damaged PDF; save it anew, or save it as .txt.")
    text, encoding, repairs = _unicode(data, name)
    text = _line_ends(text, repairs)
    check_lines(text, name)
    text = show_invisible(text)
    controls = sum(len(match[0]) for match in CONTROL.finditer(text))
    if controls > len(text) / 1000:
        raise UserError(f"The book {name} {NO_TEXT}.")
    if controls:
        text = CONTROL.sub("", text)
        repairs.append("control characters removed")
    if not text or text.isspace():
        raise UserError(f"The book {name} is empty; give a text file.")
    return Decoded(_accents(text, repairs), encoding, tuple(repairs))


def show_invisible(text: str) -> str:
    """Return text with plain blanks and line ends for those that Unicode has besides, and without marks that print nothing."""
    for character, instead in INVISIBLE.items():
        text = text.replace(character, instead)
    return text


def check_lines(text: str, name: str) -> None:
    """Raise UserError if a text has more lines, or a longer one, than any novel."""
    lines = text.count("\n") + text.count(PAGE)
    if lines > MAX_LINES:
        raise UserError(f"The book {name} has {lines / 1e6:.1f} million lines, more than any novel; give one file a book.")
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        if end - start > MAX_LINE:
            millions = (end - start) / 1e6
            raise UserError(
                f"The book {name} has a line of {millions:.0f} million characters; give a text with a line break after each paragraph."
            )
        start = end + 1


def _line_ends(text: str, repairs: list[str]) -> str:
    """Return text with one kind of line end. In a file of CR line ends the few CR LF part sections, which come back as `PAGE`."""
    if "\r" not in text:
        return text
    both, carriage = text.count("\r\n"), text.count("\r")
    if carriage - both > 10 * both and carriage - both > text.count("\n") - both:
        repairs.append("CR line ends")
        return text.replace("\r\n", f"\n{PAGE}").replace("\r", "\n")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _unicode(data: bytes, name: str) -> tuple[str, str, list[str]]:
    """Return the text, its encoding, its repairs."""
    wide = _utf_16(data)
    if wide is not None:
        try:
            return data.decode(wide).removeprefix("\ufeff"), "UTF-16", []
        except UnicodeDecodeError:
            raise UserError(f"The book {name} {NO_TEXT}.") from None
    if b"\0" in data:
        raise UserError(f"The book {name} {NO_TEXT}.")
    try:
        text = data.decode("utf-8-sig")
        repairs = []
    except UnicodeDecodeError:
        mixed = _mostly_utf_8(data)
        if mixed is None:
            text, encoding = _one_byte(data)
            return text, encoding, []
        text, repairs = mixed, ["bytes that are not UTF-8"]
    # "É—" alone could be both; a text that was encoded twice shows it at every quotation mark.
    if sum(1 for _ in TWICE.finditer(text)) < 3:
        return text, "ASCII" if text.isascii() else "UTF-8", repairs
    return _undo_double_encoding(text), "UTF-8", [*repairs, "UTF-8 encoded twice"]


def _mostly_utf_8(data: bytes) -> str | None:
    """Return text of UTF-8 with a few other bytes in it, which are taken for Windows-1252; None where they are not few."""
    text = data.decode("utf-8-sig", errors="surrogateescape")
    other = sum(1 for _ in OTHER_BYTE.finditer(text))
    beyond_ascii = sum(1 for _ in BEYOND_ASCII.finditer(text))
    if beyond_ascii - other <= 10 * other:
        return None
    return OTHER_BYTE.sub(lambda match: bytes([ord(match[0]) - 0xDC00]).decode("cp1252", errors="replace"), text)


def _utf_16(data: bytes) -> str | None:
    """Return the UTF-16 that `data` is in, by its mark, or by every other byte of English being zero; None for none."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    sample = data[: 1 << 16]
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if len(sample) >= 16 and len(data) % 2 == 0 and max(even, odd) > 0.45 * (len(sample) // 2) and min(even, odd) == 0:
        return "utf-16-le" if odd else "utf-16-be"
    return None


def _one_byte(data: bytes) -> tuple[str, str]:
    """Return the text in an encoding of one byte a character, and which: the one that reads most like a book."""
    used = [(byte, data.count(byte)) for byte in range(0x80, 0x100)]
    best = max(("cp1252", "mac_roman"), key=lambda encoding: _plausibility(used, encoding))
    # Bytes that Windows-1252 leaves undefined are Latin-1's control characters, which is what the file then means.
    if best == "cp1252" and any(data.count(byte) for byte in b"\x81\x8d\x8f\x90\x9d"):
        return data.decode("latin-1"), "Latin-1"
    return data.decode(best), {"cp1252": "Windows-1252", "mac_roman": "Mac Roman"}[best]


def _plausibility(used: list[tuple[int, int]], encoding: str) -> int:
    return sum(number if bytes([byte]).decode(encoding, errors="replace") in EXPECTED else -number for byte, number in used)


def _undo_double_encoding(text: str) -> str:
    """Put right UTF-8 that was read as Latin-1 or Windows-1252 and encoded again ("â€™" for "’")."""
    from ftfy import fix_encoding

    # Line by line: one line that cannot be put right must not keep the others from it.
    return "\n".join(line if line.isascii() else fix_encoding(line) for line in text.split("\n"))


def _accents(text: str, repairs: list[str]) -> str:
    """Put accents beside their letter ("outre´", "ecart´ e") onto it; remove stray ones."""
    import unicodedata

    if not any(accent in text for accent in ACCENTS):
        return text

    def put_on(match: re.Match[str]) -> str:
        before, after = match["before"], match["after"] or ""
        for letter, ahead, behind in ((before, "", after), (after.strip(), before, "")):
            whole = unicodedata.normalize("NFC", letter + ACCENTS[match["accent"]]) if letter.isalpha() else ""
            if len(whole) == 1 and whole in EXPECTED:
                return ahead + whole + behind
        return before + after

    repairs.append("stray accents")
    return STRAY.sub(put_on, text)
