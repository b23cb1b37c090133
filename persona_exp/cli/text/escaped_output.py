"""Output whose control characters are shown, not obeyed: a record may hold what would rewrite a terminal, or forge a line of it."""

import re
import secrets
import sys
from typing import Any, TextIO, cast

from persona_exp.control_characters import CONTROLS, as_json, escaped

_BREAK = re.compile(f"{CONTROLS}|[\t\n]")
# Colours and movements, as programs write them into logs.
_SEQUENCE = re.compile("\x1b\\[[0-9;?]*[A-Za-z]")
_COLOUR = re.compile("\x1b\\[[0-9;]*m")
_OVERWRITTEN = re.compile("[^\n]*\r(?!\n)")

# No record can know it, so that what follows it is our own.
_OWN = f"\x1b{secrets.token_hex(8)}["


def one_line(text: str) -> str:
    """Return `text` without control characters, line breaks among them."""
    return _OWN.join(_BREAK.sub(as_json, part) for part in text.split(_OWN))


def own_sequence(text: str) -> str:
    """Return the terminal sequence `text` (`1m`, `H`), which the output of a command lets through."""
    return (_OWN if isinstance(sys.stdout, EscapedOutput) else "\x1b[") + text


def log_text(text: str) -> str:
    """Return a log as a terminal would have ended up showing it: without colours, and of a progress bar its last state."""
    return _OVERWRITTEN.sub("", _SEQUENCE.sub("", text).replace("\r\n", "\n"))


def coloured_output() -> TextIO:
    """Return standard output for rich, which colours by itself: colours pass, and nothing else does."""
    return cast(TextIO, _Coloured(sys.stdout))


class _Coloured:
    def __init__(self, inner: TextIO) -> None:
        self._inner = inner

    def write(self, text: str) -> int:
        return self._inner.write(_COLOUR.sub(lambda found: own_sequence(found[0][2:]), text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class EscapedOutput:
    """Standard output while a command runs."""

    def __init__(self, inner: TextIO) -> None:
        self.inner = inner

    def write(self, text: str) -> int:
        """Write `text` escaped, but for sequences of our own."""
        return self.inner.write("\x1b[".join(map(escaped, text.split(_OWN))))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)
