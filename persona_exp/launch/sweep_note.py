"""The name of the sweep that a command is about, for the program that gave the command."""

import os
from pathlib import Path

from persona_exp import atomic_files

# Names a file to write it to.
VARIABLE = "PERSONA_EXP_SWEEP_NOTE"


def note_sweep(folder: Path) -> None:
    """Write the sweep's name where the program asks for it. Nothing that is started from here is asked too."""
    if path := os.environ.pop(VARIABLE, None):
        atomic_files.write_text(Path(path), folder.name)
