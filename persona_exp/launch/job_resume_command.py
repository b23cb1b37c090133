"""The command with which a job goes on at its next start: after a requeue, with what it sealed, whatever conf/ says by then."""

import os
from pathlib import Path

from persona_exp import atomic_files
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
        _, _, seal = (runs / "jobs" / job_id).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return None
    # Known by its seal, for the module's name may be that of older code.
    return Path(seal).parents[1].name if "/seals/" in seal else None
