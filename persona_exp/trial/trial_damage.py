"""Which of a trial's files cannot be read, each in a sentence that says what is to be done."""

from pathlib import Path

from persona_exp.damaged_records import Damaged
from persona_exp.trial.attempt_records import DAMAGED, attempt_files, read_record
from persona_exp.trial.lost_attempts import attempts_lost
from persona_exp.trial.recorded_evaluations import damaged_evaluations
from persona_exp.trial.recorded_provenance import read_provenance
from persona_exp.trial.seal_facts import check_config, read_seal_facts, seal_paths
from persona_exp.trial.trial_directory import CONFIG


def damaged_seals(runs: Path, trial_id: str) -> list[str]:
    """Return those of what sealing writes: provenance, config, seals. Without them a trial does not run, and nothing compares with it."""
    folder, found = runs / "trials" / trial_id, list[str]()
    try:
        read_provenance(runs, trial_id)
    except Damaged as error:
        found.append(str(error))
    seals = []
    for path in seal_paths(folder):
        try:
            seals.append(read_seal_facts(path))
        except Damaged as error:
            found.append(str(error))
    # Without a config it was never sealed, which is no damage.
    if (folder / CONFIG).exists():
        try:
            check_config(folder, seals)
        except Damaged as error:
            found.append(str(error))
    return found


def trial_damage(runs: Path, trial_id: str) -> list[str]:
    """Return those of what sealing, attempts and evaluations wrote."""
    records = [read_record(path) for path in attempt_files(runs / "trials" / trial_id)]
    attempts = [f"{one['message'][0].upper()}{one['message'][1:]}." for one in records if one["status"] == DAMAGED]
    if lost := attempts_lost(runs / "trials" / trial_id):
        attempts.append(f"{lost[0].upper()}{lost[1:]}.")
    return [*damaged_seals(runs, trial_id), *attempts, *damaged_evaluations(runs, trial_id)]
