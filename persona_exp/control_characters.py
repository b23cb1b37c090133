"""Control characters in text that others wrote: shown, not obeyed."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import OverflowMethod
    from rich.text import Text

# C0 but tab and line feed, C1, what turns the direction of text, separators of lines, and halves of surrogates, which have no bytes.
CONTROLS = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
_CONTROL = re.compile(CONTROLS)


def escaped(text: str) -> str:
    """Return `text` with each control character as JSON writes it, `\\u001b`; tabs and line breaks stay."""
    return _CONTROL.sub(as_json, text)


def escaped_text(text: str, *, style: str = "", no_wrap: bool | None = None, overflow: "OverflowMethod | None" = None) -> "Text":
    """Return `text` for rich, escaped and without markup: rich itself lets a terminal's sequences through."""
    from rich.text import Text

    return Text(escaped(text), style=style, no_wrap=no_wrap, overflow=overflow)


def as_json(found: re.Match[str]) -> str:
    """Return the character of a match as JSON writes it."""
    return f"\\u{ord(found[0]):04x}"
