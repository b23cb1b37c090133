"""A sentence on a narrow terminal, in lines broken between words."""

import re
import textwrap

# Stands for a blank within `…`; in no text.
_VEILED = "\0"


def sentence_lines(text: str, width: float, indent: str = "") -> list[str]:
    """Return `text` in lines of at most `width` characters, those behind the first after `indent`.

    No word is broken, and no `command` between backquotes, which is to be copied: where one has no room, its line is longer.
    """
    if len(text) <= width:
        return [text]
    veiled = re.sub(r"`[^`]*`", lambda found: found[0].replace(" ", _VEILED), text)
    lines = textwrap.wrap(veiled, int(width), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return [line.replace(_VEILED, " ") for line in lines]
