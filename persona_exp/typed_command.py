"""The command of this process, as a person would type it again."""

import shlex
import sys
from pathlib import Path


def typed_command() -> str:
    """Return `python run.py …` or `persona-exp run …`, quoted for a shell: what trials and sweeps keep of how they were asked for."""
    program = ["python", "run.py"] if Path(sys.argv[0]).name == "run.py" else ["persona-exp", "run"]
    return shlex.join([*program, *sys.argv[1:]])
