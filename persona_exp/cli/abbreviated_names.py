"""Sweeps and trials by the names that a person gives them: an id's beginning, a sweep's beginning or the hash that it ends with."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from persona_exp.cli.runs_folder import trial_ids
from persona_exp.config.close_name import did_you_mean
from persona_exp.errors import UserError
from persona_exp.project_folders import LATEST
from persona_exp.trial.folder_ids import is_id
from persona_exp.trial.forgotten_sweep import known_and_forgotten
from persona_exp.trial.recorded_sweep import sweep_names

FEW = 4


def find_sweep(runs: Path, named: str) -> str:
    """Return the one sweep that `named` stands for. Raise UserError where there is none, or several."""
    return _one(named, _sweeps(runs, named), "sweep", "`persona-exp status` lists them", runs, sweep_names(runs))


def find_trial(runs: Path, named: str) -> str:
    """Return the one trial that `named` stands for. Raise UserError where there is none, or several."""
    found = _trials(runs, named)
    sweeps = [] if found else _sweeps(runs, named)
    if sweeps:
        raise UserError(f"{named} is a sweep, and a trial is asked for: `persona-exp status {shlex.quote(sweeps[0])}` shows its trials.")
    return _one(named, found, "trial", "`persona-exp status SWEEP` lists them", runs, ())


def find_sweep_or_trial(runs: Path, named: str) -> tuple[str | None, str | None]:
    """Return (sweep, None) or (None, trial): the one that `named` stands for. Raise UserError where there is none, or several."""
    sweeps, trials = _sweeps(runs, named), _trials(runs, named)
    name = _one(named, [*sweeps, *trials], "sweep or trial", "`persona-exp status` lists them", runs, sweep_names(runs))
    return (name, None) if name in sweeps else (None, name)


def _sweeps(runs: Path, named: str) -> list[str]:
    prefix = _last_part(named)
    known, forgotten = known_and_forgotten(runs)
    if prefix == LATEST and (runs / LATEST).is_symlink():
        prefix = (runs / LATEST).readlink().name
    if prefix in (*known, *forgotten):
        return [prefix]
    # What a person has forgotten stands in the way of nothing.
    return _beginning(known, prefix) or _beginning(forgotten, prefix)


def _beginning(names: Sequence[str], prefix: str) -> list[str]:
    """Return the names that begin with `prefix`, else those whose hash does."""
    beginning = [name for name in names if prefix and name.startswith(prefix)]
    return beginning or [name for name in names if prefix and name.rpartition("-")[2].startswith(prefix)]


def _trials(runs: Path, named: str) -> list[str]:
    prefix = _last_part(named)
    if is_id(prefix) and (runs / "trials" / prefix).is_dir():
        return [prefix]
    return [name for name in trial_ids(runs) if prefix and name.startswith(prefix)]


def _last_part(named: str) -> str:
    """Return a folder's name where a path was given, as the shell completes it."""
    return named.rstrip("/").rpartition("/")[2]


def _one(named: str, found: Sequence[str], what: str, where: str, runs: Path, known: Sequence[str]) -> str:
    if not found:
        # A sweep is called by its settings as well, without the digits at its end.
        meant = did_you_mean(named, [*known, *(one.rpartition("-")[0] for one in known)])
        raise UserError(f"There is no {what} {named} under {runs}; {where}, and $PERSONA_EXP_RUNS names another folder{meant}")
    if len(found) > 1:
        shown = ", ".join(found[:FEW]) + (", …" if len(found) > FEW else "")
        raise UserError(f"{named} could be any of {len(found)} ({shown}); give more of the name.")
    return found[0]
