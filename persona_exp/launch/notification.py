"""`notify=COMMAND`: the command that is run, or the bell that is rung, when a trial or sweep on this machine is over."""

import os
import subprocess
import sys
import time
from collections.abc import Callable

from persona_exp.errors import UserError
from persona_exp.process_signals import RESUMABLE

BELL = "bell"
# A person who waited no longer than this is still there.
LEAST_SECONDS = 60.0
# A command that waits for somebody must not keep the sweep's own from ending.
MOST_SECONDS = 30.0


def refuse_on_slurm(command: str | None) -> None:
    """Raise UserError where a sweep that is submitted asks for a notification: its end is not this process's."""
    if command:
        raise UserError(
            "notify is for what runs on this machine: on Slurm give hydra.launcher.mail_type=END hydra.launcher.mail_user=ADDRESS instead."
        )


def notified(command: str | None, launch: Callable[[], int]) -> int:
    """Return what `launch` does, its exit code; where that took over a minute, `command` is run in a shell, or the terminal's bell rung.

    The command finds the outcome in $PERSONA_EXP_OUTCOME (finished, interrupted or failed) and the exit code in $PERSONA_EXP_EXIT_CODE.
    One that fails is said, and fails nothing.
    """
    started, code = time.monotonic(), 1
    try:
        code = launch()
    finally:
        if command and time.monotonic() - started >= LEAST_SECONDS:
            _notify(command, code)
    return code


def _notify(command: str, code: int) -> None:
    if command == BELL:
        print("\a", end="", file=sys.stderr, flush=True)
        return
    outcome = {0: "finished", RESUMABLE: "interrupted"}.get(code, "failed")
    variables = {"PERSONA_EXP_OUTCOME": outcome, "PERSONA_EXP_EXIT_CODE": str(code)}
    try:
        done = subprocess.run(command, shell=True, env={**os.environ, **variables}, timeout=MOST_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"notify={command} came to nothing: {error}.", file=sys.stderr, flush=True)
        return
    if done.returncode:
        print(f"notify={command} ended with {done.returncode}.", file=sys.stderr, flush=True)
