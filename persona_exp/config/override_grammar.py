"""The grammar of Hydra's overrides: what it reads as it stands, and what it needs in quotes."""

import re
import shlex
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

# Hydra's functions, each as it is written.
FUNCTIONS = {
    "choice": "choice(8,16)",
    "range": "range(1,9)",
    "interval": "interval(1e-5,1e-3)",
    "glob": "glob(*)",
    "tag": "tag(log,interval(1e-5,1e-3))",
    "shuffle": "shuffle(range(1,9))",
    "sort": "sort(8,4)",
    "int": "int(8.0)",
    "float": "float(8)",
    "str": "str(8)",
    "bool": "bool(1)",
}
PAIRS = {"[": "]", "{": "}", "(": ")"}


def name_of(key: str) -> str:
    """Return an override's key without the signs that add and delete."""
    return key.lstrip("+~")


def with_commas(parts: Sequence[str]) -> str:
    """Return those of `parts` that are not blank, with commas between them."""
    return ",".join(part.strip() for part in parts if part.strip())


def to_paste(override: str) -> str:
    """Return an override as it is typed in a shell."""
    return shlex.quote(override) if not re.fullmatch(r"[\w.,=/@+:%-]+", override) else override


def in_quotes(text: str) -> str:
    """Return a text in Hydra's quotes."""
    mark = "'" if '"' in text and "'" not in text else '"'
    # A backslash counts in front of a quotation mark alone.
    return mark + re.sub(rf"(\\*)({mark}|$)", lambda found: found[1] * 2 + (f"\\{mark}" if found[2] else ""), text) + mark


def quoted(value: str) -> str:
    """Return a value as Hydra reads it, what is in lists and mappings too."""
    value = value.strip()
    if parsed_override(f"a={value}") is not None:
        return value
    if value.startswith("[") and value.endswith("]"):
        return f"[{','.join(map(quoted, parts_of(value[1:-1])))}]"
    if value.startswith("{") and value.endswith("}"):
        entries = [part.partition(":") for part in parts_of(value[1:-1])]
        return "{" + ",".join(f"{quoted(key)}{colon}{quoted(inner)}" for key, colon, inner in entries) + "}"
    return in_quotes(from_home(value))


def from_home(text: str) -> str:
    """Return a text that begins with ~/ from the home folder on, as a shell would have it."""
    return str(Path(text).expanduser()) if text == "~" or text.startswith("~/") else text


def parts_of(value: str) -> list[str]:
    """Return what stands between the commas that are in no brackets and no quotation marks."""
    return _scanned(value)[0]


def missing_end(value: str) -> str:
    """Return the brackets or the quotation mark that are missing at a value's end, or the bracket in it that closes nothing."""
    return _scanned(value)[1]


def _scanned(value: str) -> tuple[list[str], str]:
    parts, inside, quote, astray = [""], list[str](), "", ""
    for place, letter in enumerate(value):
        begins = value[:place].rstrip()[-1:] in ("", *",[{(:")
        if quote:
            quote = "" if letter == quote and value[place - 1] != "\\" else quote
        # An apostrophe that nothing closes is one of a word.
        elif begins and (letter == '"' or (letter == "'" and "'" in value[place + 1 :])):
            quote = letter
        elif letter in PAIRS:
            inside.append(PAIRS[letter])
        elif inside and letter == inside[-1]:
            inside.pop()
        elif letter in PAIRS.values():
            astray = astray or letter
        elif letter == "," and not inside:
            parts.append("")
            continue
        parts[-1] += letter
    return parts, astray or quote + "".join(reversed(inside))


@cache
def parsed_override(word: str) -> Any:
    """Return an override as Hydra parses it; None where it cannot."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(word)
    except HydraException:
        return None
