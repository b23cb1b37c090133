"""The end of a sweep: which cells are missing and why, what it has used, and its report."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from persona_exp.launch.judgement import hold
from persona_exp.launch.judgement.observer import Observer
from persona_exp.launch.judgement.retry import verdict
from persona_exp.launch.sweeps import wanted
from persona_exp.launch.sweeps.submission import worker_jobs
from persona_exp.launch.sweeps.wanted import Wanted
from persona_exp.trial.provenance import ROOT
from persona_exp.trial.state import read_state

# More missing trials than this are told by their number.
MOST_LINES = 20


def conclude(sweep_folder: Path) -> int:
    """Say what is missing and what was used, and write the report; 0 when every trial is finished, 1 when not."""
    from persona_exp.launch.cost.prediction import compare

    asked = wanted.read(sweep_folder)
    observer = Observer()
    missing = [one for one in asked if verdict(one.directory(sweep_folder), one.seal_name, observer.judge).next != "finished"]
    _tell(sweep_folder, missing, len(asked))
    code = report(sweep_folder, rehearsal=all(one.engine == "noop" for one in asked))
    used = compare(sweep_folder, sweep_folder.parent.parent, worker_jobs(sweep_folder))
    if used:
        print(used, flush=True)
    return 1 if missing else code


def report(sweep_folder: Path, *, rehearsal: bool = False) -> int:
    """Write and print the tables and figures of a sweep, in a process of its own, for analysis imports nothing of ours; the exit code.

    A rehearsal (engine=noop) has none.
    """
    if rehearsal:
        return 0
    command = [sys.executable, "-m", "analysis.report", str(sweep_folder.absolute())]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def _tell(sweep_folder: Path, missing: Sequence[Wanted], trials: int) -> None:
    held = hold.read(sweep_folder)
    if held:
        told = f"The sweep is held: {held['message'].rstrip('.')}"
        print(f"{told}; when that is seen to, `persona-exp retry {sweep_folder.name}` lets it go on.")
    for one in missing[:MOST_LINES]:
        state = read_state(one.directory(sweep_folder).path)
        print(f"missing: {one.title} (trial {one.trial_id}) is {state.reason}{': ' + state.message if state.message else ''}")
    if len(missing) > MOST_LINES:
        print(f"and {len(missing) - MOST_LINES} more")
    if missing:
        print(f"{len(missing)} of {trials} trials are missing; `persona-exp why TRIAL` tells more.", flush=True)
