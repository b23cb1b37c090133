"""`persona-exp status [SWEEP]`: the sweeps, or one sweep's trials, and the status of each."""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from persona_exp.cli.abbreviated_names import find_sweep
from persona_exp.cli.runs_folder import runs_folder, trial_ids
from persona_exp.cli.status_json import sweep_json, sweeps_json
from persona_exp.cli.sweep_status import SweepStatus, readable_status, sweep_statuses, trials_asked_for
from persona_exp.cli.text.escaped_output import own_sequence
from persona_exp.counted_noun import counted
from persona_exp.errors import UserError
from persona_exp.trial.forgotten_sweep import known_and_forgotten
from persona_exp.trial.trial_status import TrialStatus

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
    text, unfinished = _text(runs, arguments)
    if not arguments.watch:
        print(text)
        return 0, None
    try:
        while unfinished:
            _draw(text)
            time.sleep(REDRAW_SECONDS)
            text, unfinished = _text(runs, arguments)
        _draw(text)
    except KeyboardInterrupt:
        # Ctrl-C is how a person stops watching.
        return 0, None
    return 0, None


def _answer(runs: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    if arguments.sweep:
        (sweep,) = sweep_statuses(runs, [find_sweep(runs, arguments.sweep)])
        return sweep_json(sweep)
    return {"runs": str(runs), **sweeps_json(*_everything(runs)), "forgotten": known_and_forgotten(runs)[1]}


def _text(runs: Path, arguments: argparse.Namespace) -> tuple[str, bool]:
    """Return the text for a reader, and whether anything of it may still change."""
    from persona_exp.cli.text.status_text import sweep_text, sweeps_text

    if arguments.sweep:
        (sweep,) = sweep_statuses(runs, [find_sweep(runs, arguments.sweep)])
        return sweep_text(sweep, every=arguments.all), sweep.unfinished
    sweeps, singles = _everything(runs)
    text, forgotten = sweeps_text(sweeps, singles, runs), known_and_forgotten(runs)[1]
    if forgotten:
        text += f"\n\n{counted(len(forgotten), 'sweep')} forgotten: `persona-exp forget` lists what is not shown."
    return text, any(sweep.unfinished for sweep in sweeps)


def _everything(runs: Path) -> tuple[list[SweepStatus], list[TrialStatus]]:
    """Return all sweeps, the newest first, and the trials that none of them asks for."""
    known, forgotten = known_and_forgotten(runs)
    sweeps = sorted(sweep_statuses(runs, known), key=lambda sweep: sweep.created, reverse=True)
    asked = {trial.trial_id for sweep in sweeps for trial in sweep.trials} | trials_asked_for(runs, forgotten)
    return sweeps, [readable_status(runs, one) for one in trial_ids(runs) if one not in asked]


def _draw(text: str) -> None:
    if sys.stdout.isatty():
        # Home, the text with the rest of each line cleared, then all below: nothing flickers.
        sys.stdout.write(own_sequence("H") + f"{text}\n".replace("\n", own_sequence("K") + "\n") + own_sequence("J"))
    else:
        print(f"{text}\n")
    sys.stdout.flush()
