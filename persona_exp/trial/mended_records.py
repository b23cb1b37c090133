"""The records of attempts that were damaged, written anew when a person gives the trial's command again."""

from collections.abc import Iterable

from persona_exp import atomic_files
from persona_exp.damaged_records import set_aside
from persona_exp.trial.attempt_records import DAMAGED, attempt_files, end_without_record, read_record
from persona_exp.trial.seal_facts import published_seal
from persona_exp.trial.trial_directory import TrialDirectory


def mend_attempts(directories: Iterable[TrialDirectory]) -> list[str]:
    """Put a record in the place of each damaged one, which is kept beside it; return the paths of what was kept.

    The trial is finished where all that a seal of it asks for is published, else its attempt counts as interrupted, and it goes on from its
    checkpoint. A process that is still at it is fenced by the attempt that follows, as any that was taken for dead.
    """
    kept = []
    for directory in directories:
        for path in attempt_files(directory.path):
            # Without it, were this process killed, its number would be given again.
            if read_record(path)["status"] != DAMAGED or (aside := set_aside(path, stays=True)) is None:
                continue
            kept.append(str(aside))
            # It is finished for that seal: another may owe another evaluation.
            end = end_without_record(published_seal(directory.path))
            record = {"attempt": int(path.stem), "host": None, **end, "message": f"its record was damaged, and is kept as {aside.name}"}
            atomic_files.write_json(path, record)
    return kept
