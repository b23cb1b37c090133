"""Sweeps and trials by the names that a person gives them: an id's beginning, a sweep's beginning or the hash that it ends with."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from persona_exp.errors import UserError
from persona_exp.trial.reader import sweep_names

FEW = 4


def runs_folder() -> Path:
    """Where results are: $PERSONA_EXP_RUNS, else runs/ of the working directory."""
    return Path(os.environ.get("PERSONA_EXP_RUNS") or "runs")


def trial_ids(runs: Path) -> list[str]:
    """Every trial that was sealed under `runs`, by id."""
    try:
        return sorted(name for name in os.listdir(runs / "trials") if not name.startswith("."))  # noqa: PTH208 (1,000 of them)
    except FileNotFoundError:
        return []


def find_sweep(runs: Path, named: str) -> str:
    """The one sweep that `named` stands for. UserError: none, or several."""
    return _one(named, _sweeps(runs, named), "sweep", "`persona-exp status` lists them", runs)


def find_trial(runs: Path, named: str) -> str:
    """The one trial that `named` stands for. UserError: none, or several."""
    found = _trials(runs, named)
    sweeps = [] if found else _sweeps(runs, named)
    if sweeps:
        raise UserError(f"{named} is a sweep, and a trial is asked for: `persona-exp status {shlex.quote(sweeps[0])}` shows its trials.")
    return _one(named, found, "trial", "`persona-exp status SWEEP` lists them", runs)


def find(runs: Path, named: str) -> tuple[str | None, str | None]:
    """(sweep, None) or (None, trial): the one that `named` stands for. UserError: none, or several."""
    sweeps, trials = _sweeps(runs, named), _trials(runs, named)
    name = _one(named, [*sweeps, *trials], "sweep or trial", "`persona-exp status` lists them", runs)
    return (name, None) if name in sweeps else (None, name)


def _sweeps(runs: Path, named: str) -> list[str]:
    names, wanted = sweep_names(runs), _last_part(named)
    if wanted in names:
        return [wanted]
    beginning = [name for name in names if wanted and name.startswith(wanted)]
    return beginning or [name for name in names if wanted and name.rpartition("-")[2].startswith(wanted)]


def _trials(runs: Path, named: str) -> list[str]:
    wanted = _last_part(named)
    if wanted and (runs / "trials" / wanted).is_dir():
        return [wanted]
    return [name for name in trial_ids(runs) if wanted and name.startswith(wanted)]


def _last_part(named: str) -> str:
    """A folder's name where a path was given, as the shell completes it."""
    return named.rstrip("/").rpartition("/")[2]


def _one(named: str, found: Sequence[str], what: str, where: str, runs: Path) -> str:
    if not found:
        raise UserError(f"There is no {what} {named} under {runs}; {where}, and $PERSONA_EXP_RUNS names another folder.")
    if len(found) > 1:
        shown = ", ".join(found[:FEW]) + (", …" if len(found) > FEW else "")
        raise UserError(f"{named} could be any of {len(found)} ({shown}); give more of the name.")
    return found[0]
