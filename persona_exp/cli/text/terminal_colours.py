"""Colours on a terminal, and none where $NO_COLOR is set."""

import os
import sys

from persona_exp.cli.text.escaped_output import own_sequence

STATUS_COLOURS = {
    "finished": "32",
    "running": "36",
    "queued": "34",
    "sealed": "2",
    "interrupted": "33",
    "held": "33",
    "failed": "31",
    "damaged": "31",
    "cancelled": "35",
    "pruned": "2",
    "missing": "31",
}


def painted(text: str, colour: str) -> str:
    """Return `text` in an ANSI colour where standard output is a terminal and NO_COLOR is not set."""
    return f"{own_sequence(f'{colour}m')}{text}{own_sequence('0m')}" if colour and coloured() else text


def coloured() -> bool:
    """Return whether output may carry colours: no-color.org."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and sys.stdout.isatty()
