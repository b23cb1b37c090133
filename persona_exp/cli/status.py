"""`persona-exp status [SWEEP]`: what there is and how it stands."""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from persona_exp.cli import company
from persona_exp.cli.find import find_sweep, runs_folder, trial_ids
from persona_exp.cli.standing import Standing, standings
from persona_exp.errors import UserError

# A queue is asked no more often than this, however often the table is drawn.
REDRAW_SECONDS = 5.0


def add_commands(nouns: Any) -> None:
    """Add the verb `status`."""
    status = nouns.add_parser("status", help="how sweeps stand, or the trials of one")
    status.add_argument("sweep", nargs="?", help="a sweep's name or the beginning of one (default: all sweeps)")
    status.add_argument("--all", action="store_true", help="list every trial, also of a large sweep")
    status.add_argument("--watch", action="store_true", help="draw it again until all trials have ended")
    status.add_argument("--json", action="store_true", help="print JSON")
    status.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> tuple[int, Any]:
    runs = runs_folder()
    if arguments.watch and arguments.json:
        raise UserError("--json cannot watch: leave out --watch, or --json.")
    if arguments.json:
        return 0, _answer(runs, arguments)
    text, unfinished = _look(runs, arguments)
    if not arguments.watch:
        print(text)
        return 0, None
    try:
        while unfinished:
            _draw(text)
            time.sleep(REDRAW_SECONDS)
            text, unfinished = _look(runs, arguments)
        _draw(text)
    except KeyboardInterrupt:
        # Ctrl-C is how a person stops watching.
        return 0, None
    return 0, None


def _answer(runs: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    if arguments.sweep:
        (found,) = standings(runs, [find_sweep(runs, arguments.sweep)])
        return sweep_json(found)
    return {"runs": str(runs), **_all_json(*_everything(runs))}


def _look(runs: Path, arguments: argparse.Namespace) -> tuple[str, bool]:
    """What a person sees, and whether anything of it may still change."""
    from persona_exp.cli.overview import all_sweeps, one_sweep

    if arguments.sweep:
        (found,) = standings(runs, [find_sweep(runs, arguments.sweep)])
        return one_sweep(found, every=arguments.all), found.unfinished
    names, singles = _everything(runs)
    return all_sweeps(names, singles, runs), any(one.unfinished for one in names)


def _everything(runs: Path) -> tuple[list[Standing], Any]:
    """All sweeps, the newest first, and the states of the trials that none of them asks for."""
    from persona_exp.trial.reader import sweep_names
    from persona_exp.trial.state import read_states

    found = sorted(standings(runs, sweep_names(runs)), key=lambda one: one.sweep.created, reverse=True)
    asked = {trial.trial_id for one in found for trial in one.sweep.trials}
    return found, read_states(runs, [one for one in trial_ids(runs) if one not in asked])


def _draw(text: str) -> None:
    if sys.stdout.isatty():
        # Home, the text with the rest of each line cleared, then all below: nothing flickers.
        sys.stdout.write("\x1b[H" + f"{text}\n".replace("\n", "\x1b[K\n") + "\x1b[J")
    else:
        print(f"{text}\n")
    sys.stdout.flush()


def sweep_json(one: Standing) -> dict[str, Any]:
    """A sweep's standing as plain JSON values."""
    last = one.submissions[-1] if one.submissions else None
    return {
        "sweep": one.folder.name,
        "command": one.sweep.command,
        "created": one.sweep.created,
        "counts": one.counts,
        "gpu_hours": one.gpu_hours,
        "hold": one.hold,
        "submission": last and {"number": last.number, "launcher": last.launcher, "job_name": last.job_name},
        "jobs": None if one.queue is None else [vars(job) for job in one.queue],
        "trials": [
            {**state_json(state), "role": trial.role, "overrides": trial.overrides, "evaluations": trial.evaluations}
            for trial, state in one.rows
        ],
    }


def state_json(state: Any) -> dict[str, Any]:
    """A trial's state as plain JSON values."""
    told = {key: value for key, value in vars(state).items() if key != "record"}
    return {**told, "gpu_hours": state.gpu_hours, "together_with": company.others(state.record)}


def _all_json(found: list[Standing], singles: Any) -> dict[str, Any]:
    sweeps = [{key: value for key, value in sweep_json(one).items() if key not in ("trials", "jobs")} for one in found]
    return {"sweeps": sweeps, "single_trials": [state_json(state) for state in singles]}
