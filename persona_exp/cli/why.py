"""`persona-exp why TRIAL`: why it waits, was skipped, was retried, failed."""

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from persona_exp.cli.find import find_trial, runs_folder


def add_commands(nouns: Any) -> None:
    """Add the verb `why`."""
    why = nouns.add_parser("why", help="why a trial waits, was skipped, was retried, failed")
    why.add_argument("trial", help="a trial's id or the beginning of one")
    why.add_argument("--json", action="store_true", help="print JSON")
    why.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> tuple[int, Any]:
    runs = runs_folder()
    lines, answer = explain(runs, find_trial(runs, arguments.trial), datetime.now(UTC))
    if not arguments.json:
        print("\n".join(lines))
    return 0, answer


def explain(runs: Path, trial_id: str, now: datetime) -> tuple[list[str], dict[str, Any]]:
    """Sentences on how the trial stands at `now`, a line each, and the facts behind them as plain JSON values."""
    from persona_exp.cli.reasons import Case, reasons
    from persona_exp.cli.standing import of_trial, standings
    from persona_exp.cli.status import state_json
    from persona_exp.trial.state import ENDED, read_state

    places = sorted(standings(runs, of_trial(runs, trial_id)), key=lambda one: one.sweep.created, reverse=True)
    found = [(place, trial, state) for place in places for trial, state in place.rows if trial.trial_id == trial_id]
    # Of several sweeps, the newest that still wants something of it speaks.
    found.sort(key=lambda one: one[2].status in ENDED)
    place, trial, state = found[0] if found else (None, None, read_state(runs / "trials" / trial_id))
    lines = reasons(Case(runs, state, trial, place, now))
    others = [one.folder.name for one in places if one is not place]
    if others:
        lines.append(f"It is also part of {', '.join(others)}.")
    sweeps = [one.folder.name for one in places]
    return lines, {**state_json(state), "sweeps": sweeps, "hold": place and place.hold, "sentences": lines}
