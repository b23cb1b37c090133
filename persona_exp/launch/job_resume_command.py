"""The command with which a job goes on at its next start: after a requeue, with what it sealed, whatever conf/ says by then."""

import os
from pathlib import Path

from persona_exp import atomic_files
from persona_exp.errors import UserError
from persona_exp.trial.recorded_sweep import read_sweep
from persona_exp.trial.seal_facts import read_seal_facts

# slurm/job.sh names the file here, and at a later start verifies the folder of its first line and runs the module of the second from it.
VARIABLE = "PERSONA_EXP_JOB_NOTE"


def write_resume_command(seal: Path, module: str, *arguments: str) -> None:
    """Write, where a job asks for it, the folder of `seal`'s code and the command that goes on: `module` with `arguments`."""
    path = os.environ.get(VARIABLE)
    if path:
        code = seal.absolute().parents[3] / "code" / read_seal_facts(seal)["code_folder"]
        atomic_files.write_text(Path(path), "\n".join([str(code), module, *arguments]) + "\n")


def trial_of_job(runs: Path, job_id: str) -> str | None:
    """Return the trial that a job was submitted for alone (slurm/train.sbatch); None for any other job, in which more may run."""
    try:
        lines = (runs / "jobs" / job_id).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return None
    what = Path(lines[2]) if len(lines) > 2 else Path()
    # Of older code, whose module had other names, the note has the trial's seal, and no sweep's folder.
    if what.parent.name == "seals":
        return what.parents[1].name
    return _only_trial(runs, what.name) if what.parent.name == "sweeps" else None


def _only_trial(runs: Path, sweep: str) -> str | None:
    """Return the trial that the sweep has beside its base rows; without any the base row; None where it has several, or cannot be read."""
    try:
        trials = read_sweep(runs, sweep).trials
    except UserError:
        return None
    found = [one.trial_id for one in trials if one.role != "base"] or [one.trial_id for one in trials]
    return found[0] if len(found) == 1 else None
