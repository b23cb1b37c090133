"""`--detach`: the command goes on in a process of its own when the terminal closes, for machines without Slurm."""

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from persona_exp import atomic_files
from persona_exp.errors import UserError

# The descriptor on which the detached process says that it has begun.
BEGUN = "PERSONA_EXP_BEGUN"


def detach(command: Sequence[str], runs: Path) -> int:
    """Start `command` in a session of its own, show what it writes until all is sealed, and return 0.

    Where it ends before, return its exit code. What it writes is kept in a file under `runs`/detached.
    """
    log = runs / "detached" / f"{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}.log"
    atomic_files.make_folder(log.parent)
    print("Composing and sealing; then it goes on by itself.", flush=True)
    begun, says = os.pipe()
    environment = {**os.environ, BEGUN: str(says), "PYTHONUNBUFFERED": "1"}
    with log.open("xb") as output:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, pass_fds=(says,), start_new_session=True
        )
    os.close(says)
    try:
        with os.fdopen(begun, encoding="utf-8") as pipe:
            # Empty where it has ended, which closes the pipe.
            found_by = pipe.readline().strip()
        code = 0 if found_by else child.wait()
    except BaseException:
        child.terminate()
        raise
    text = log.read_text(encoding="utf-8", errors="replace")
    (sys.stderr if code else sys.stdout).write(text)
    if found_by:
        print(f"Process {child.pid} goes on without this terminal, and writes to {log}: {found_by}")
    else:
        log.unlink()
    return code


def say_begun(found_by: str) -> None:
    """Say, in a detached process, that all is sealed, and by which commands it is found; do nothing in another."""
    if descriptor := os.environ.pop(BEGUN, None):
        # The terminal may have gone while all was sealed.
        with suppress(BrokenPipeError), os.fdopen(int(descriptor), "w", encoding="utf-8") as pipe:
            pipe.write(f"{found_by}\n")


def refuse_detached() -> None:
    """Raise UserError in a detached process: what is submitted to Slurm needs no terminal."""
    if BEGUN in os.environ:
        raise UserError("A sweep on Slurm goes on by itself: leave out --detach.")
