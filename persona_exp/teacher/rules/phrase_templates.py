"""Phrase templates, chosen by content: the same text always gets the same one."""

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent / "phrases"


def number(*key: str) -> int:
    """Return a number that depends on `key` alone."""
    return int.from_bytes(hashlib.sha256("\x1f".join(key).encode("utf-8", "surrogatepass")).digest()[:8], "big")


def pick(options: Sequence[str], *key: str) -> str:
    """Return one of `options`, by the content of `key`."""
    return options[number(*key) % len(options)]


@cache
def phrases(name: str) -> tuple[str, ...]:
    """Return the lines of `phrases/NAME.txt` that are no comments."""
    lines = (HERE / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
