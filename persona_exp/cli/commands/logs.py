"""`persona-exp logs TRIAL`: what a trial's attempts wrote."""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from persona_exp.cli.abbreviated_names import find_trial
from persona_exp.cli.runs_folder import runs_folder
from persona_exp.cli.text.escaped_output import log_text, one_line
from persona_exp.errors import UserError
from persona_exp.trial.attempt_records import attempt_files
from persona_exp.trial.trial_status import ENDED_STATUSES, read_status

POLL_SECONDS = 1.0
FOLLOWED_FROM = 20


def add_commands(nouns: Any) -> None:
    """Add the verb `logs`."""
    logs = nouns.add_parser("logs", help="what a trial's last attempt wrote")
    logs.add_argument("trial", help="a trial's id or the beginning of one")
    logs.add_argument("-f", "--follow", action="store_true", help="go on as it is written, into the next attempt too")
    logs.add_argument("-n", "--lines", type=int, help=f"only the last lines (default: all; with -f {FOLLOWED_FROM})")
    logs.add_argument("--attempt", type=int, help="which attempt (default: the last)")
    logs.add_argument("--json", action="store_true", help="print JSON")
    logs.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> tuple[int, Any]:
    if arguments.follow and arguments.json:
        raise UserError("--json cannot follow: leave out -f, or --json.")
    if arguments.lines is not None and arguments.lines < 0:
        raise UserError(f"-n {arguments.lines} is no number of lines: give 0 or more.")
    runs = runs_folder()
    trial_id = find_trial(runs, arguments.trial)
    folder = runs / "trials" / trial_id
    if arguments.follow:
        return _follow(folder, FOLLOWED_FROM if arguments.lines is None else arguments.lines)
    number = arguments.attempt or read_status(folder).attempt
    path = _path(folder, number)
    if not path.is_file():
        raise UserError(_nothing(folder, number))
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = log_text(text).splitlines()
    kept = lines if arguments.lines is None else lines[len(lines) - min(arguments.lines, len(lines)) :]
    if kept and not arguments.json:
        print("\n".join(kept))
    return 0, {"trial_id": trial_id, "attempt": number, "path": str(path), "lines": kept}


def _path(folder: Path, number: int) -> Path:
    return folder / "attempts" / f"{number:04}" / "output.log"


def _nothing(folder: Path, number: int) -> str:
    if not attempt_files(folder):
        return f"Trial {folder.name} has not been tried yet; `persona-exp why {folder.name}` says what it waits for."
    return f"Attempt {number} of trial {folder.name} left no {_path(folder, number)}; `persona-exp show {folder.name}` lists its attempts."


def _follow(folder: Path, lines: int) -> tuple[int, Any]:
    """Print what is written as it is written, until the trial has ended or the person has seen enough."""
    number, position = 0, 0
    try:
        while True:
            state = read_status(folder)
            if state.attempt != number:
                # What the attempt before wrote last comes before what the new one writes.
                _more(_path(folder, number), position)
                first, number = number == 0, state.attempt
                position = _beginning(_path(folder, number), lines) if first else 0
                print(one_line(f"— attempt {number} on {state.host} —"), file=sys.stderr, flush=True)
            position = _more(_path(folder, number), position)
            if state.status in ENDED_STATUSES:
                print(one_line(f"— {state.reason} —"), file=sys.stderr, flush=True)
                return 0, None
            if number == 0:
                print(f"— {state.status}; `persona-exp why {folder.name}` says what it waits for —", file=sys.stderr, flush=True)
                while not attempt_files(folder):
                    time.sleep(POLL_SECONDS)
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        return 0, None


def _beginning(path: Path, lines: int) -> int:
    """Return where the last `lines` lines of a file begin, in bytes."""
    if not path.is_file():
        return 0
    content = path.read_bytes()
    whole = content.splitlines(keepends=True)
    return len(content) - sum(map(len, whole[len(whole) - min(lines, len(whole)) :]))


def _more(path: Path, position: int) -> int:
    """Print what stands behind `position`; the new position."""
    if not path.is_file():
        return position
    with path.open("rb") as file:
        file.seek(position)
        content = file.read()
    if content:
        sys.stdout.write(log_text(content.decode(errors="replace")))
        sys.stdout.flush()
    return position + len(content)
