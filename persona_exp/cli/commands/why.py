"""`persona-exp why TRIAL`: why it waits, was skipped, was retried, failed."""

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from persona_exp.cli.abbreviated_names import find_trial
from persona_exp.cli.runs_folder import runs_folder
from persona_exp.cli.text.escaped_output import one_line
from persona_exp.cli.text.sentence_lines import sentence_lines
from persona_exp.cli.text.text_table import terminal_width


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
        print("\n".join(part for line in lines for part in sentence_lines(one_line(line), terminal_width(), "  ")))
    return 0, answer


def explain(runs: Path, trial_id: str, now: datetime) -> tuple[list[str], dict[str, Any]]:
    """Return sentences on the trial's status at `now`, a line each, and the facts behind them as plain JSON values."""
    from persona_exp.cli.status_json import trial_json
    from persona_exp.cli.sweep_status import readable_status, sweep_statuses, sweeps_of_trial
    from persona_exp.cli.text.why_sentences import TrialCase, sentences
    from persona_exp.trial.trial_status import ENDED_STATUSES

    statuses = sorted(sweep_statuses(runs, sweeps_of_trial(runs, trial_id), only=trial_id), key=lambda one: one.created, reverse=True)
    found = [(sweep, trial, state) for sweep in statuses for trial, state in sweep.rows if trial.trial_id == trial_id]
    # Of several sweeps, the newest that has work left for it counts.
    found.sort(key=lambda one: one[2].status in ENDED_STATUSES)
    sweep, trial, state = found[0] if found else (None, None, readable_status(runs, trial_id))
    lines = sentences(TrialCase(runs, state, trial, sweep, now))
    others = [one.name for one in statuses if one is not sweep]
    if others:
        lines.append(f"It is also part of {', '.join(others)}.")
    sweeps = [one.name for one in statuses]
    return lines, {**trial_json(state), "sweeps": sweeps, "hold": sweep and sweep.hold, "sentences": lines}
