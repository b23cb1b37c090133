"""`python -m analysis.trial_table RUNS JSON SETTINGS`: one trial with its base rows and intervals, as a sweep's report has them."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.report import USAGE, print_narrow
from persona_exp.errors import UserError
from persona_exp.trial.runs_reader import Sweep, SweepTrial

NO_BASE = "No base rows: the same command with {} measures the base model on these data, once for all trials."


def main(arguments: Sequence[str]) -> int:
    """Print the table of the JSON's trials, {"trial_id", "role", "evaluations"} each, the base model first; return the exit code.

    SETTINGS are those that measure a base model that is not among them.
    """
    runs, asked = Path(arguments[0]), json.loads(arguments[1])
    try:
        print_trial(runs, asked, arguments[2])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    return 0


def print_trial(runs: Path, asked: Sequence[Mapping[str, Any]], base_settings: str) -> None:
    """Print one trial's table, or which settings measure its base model. Raise UserError where its evaluations share none."""
    from analysis.sweep_results import results_of
    from analysis.table_rows import build_rows

    trials = [SweepTrial(one["trial_id"], one["role"], {}, dict(one["evaluations"])) for one in asked]
    results = results_of(runs, Sweep(f"of one trial, {trials[-1].trial_id}", "", [], "", trials))
    print_narrow(results, build_rows(results))
    if not any(one.role == "base" for one in trials):
        print(NO_BASE.format(base_settings))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
