"""Which of the trials that a person has added to a sweep nobody has begun."""

from pathlib import Path

from persona_exp.errors import UserError
from persona_exp.trial.added_trials import added_trials
from persona_exp.trial.attempt_records import attempt_files
from persona_exp.trial.lost_attempts import attempts_lost
from persona_exp.trial.seal_facts import all_published, read_seal_facts


def unbegun_seals(sweep_folder: Path, code_folder: str) -> list[Path]:
    """Return the seals of those that nobody has begun, and that the code in that folder of runs/code may run."""
    trials = sweep_folder.absolute().parent.parent / "trials"
    return [path for one in added_trials(sweep_folder) if _unbegun(path := trials / one.path, code_folder)]


def _unbegun(path: Path, code_folder: str) -> bool:
    trial = path.parents[1]
    # One that lost its attempts waits for a person's command, as in every sweep.
    if attempt_files(trial) or (trial / "cancel.json").exists() or attempts_lost(trial):
        return False
    try:
        return read_seal_facts(path).get("code_folder") == code_folder and not all_published(path)
    except UserError:
        # The worker that takes it up will say so.
        return False
