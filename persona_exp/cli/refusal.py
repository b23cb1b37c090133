"""What a person reads where a command is refused or cannot go on: one sentence."""

import os
import sys
from pathlib import Path

from persona_exp.cli.text.escaped_output import one_line
from persona_exp.cli.text.sentence_lines import sentence_lines
from persona_exp.cli.text.text_table import terminal_width
from persona_exp.errors import UserError
from persona_exp.full_disk import disk_sentence, is_full


def refusal(error: Exception) -> str | None:
    """Return what is wrong, and the fix; None where that is no mistake of the command's, and no file's."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and is_full(error):
        return disk_sentence(error, Path(os.environ.get("PERSONA_EXP_RUNS") or "runs"))
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename} cannot be used: {error.strerror}."
    return None


def print_refusal(sentence: str) -> int:
    """Print the sentence as an error, in one line but on a terminal that is too narrow for it; the exit code of a command that is wrong."""
    width = terminal_width() if sys.stderr.isatty() else float("inf")
    print("\n".join(sentence_lines(f"error: {one_line(sentence)}", width)), file=sys.stderr)
    return 2
