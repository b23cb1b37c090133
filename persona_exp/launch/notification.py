"""`notify=COMMAND`: the command that is run, or the bell that is rung, when a trial or sweep on this machine is over."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from persona_exp.errors import UserError
from persona_exp.process_signals import RESUMABLE

if TYPE_CHECKING:
    from omegaconf import DictConfig

BELL = "bell"
# A person who waited no longer than this is still there.
LEAST_SECONDS = 60.0
# A command that waits for input must not keep the sweep's own from ending.
MOST_SECONDS = 30.0


def as_given(composed: "DictConfig") -> str | None:
    """Return the command as it was given: ${…} in it are the shell's variables, not settings."""
    from omegaconf import OmegaConf

    given = OmegaConf.to_container(composed, resolve=False)
    command = given.get("notify") if isinstance(given, dict) else None
    return None if command is None else str(command)


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
    except KeyboardInterrupt:
        code = RESUMABLE
        raise
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else code
        raise
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
