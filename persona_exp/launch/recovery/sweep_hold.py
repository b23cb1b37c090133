"""A hold: nothing new of its sweep starts until a person has seen why. It is a file, `hold.json`, in the sweep's folder."""

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from persona_exp import atomic_files
from persona_exp.launch.recovery.retry_decision import failed_for_good
from persona_exp.trial.attempt_claim_and_heartbeat import utc_now
from persona_exp.trial.recorded_hold import hold_record, read_hold
from persona_exp.trial.trial_directory import trial_directory
from persona_exp.trial.trial_status import TrialStatus, read_statuses

# So many failures of one cause are no accident.
ALIKE = 3
# The cause of a hold that a person's `cancel` puts on a search.
CANCELLED = "cancelled"
# And of one whose jobs ended before their Python began: a fault of the site.
NEVER_BEGAN = "start"
# Faults of the site: a person who gives the command again means that they are seen to, and takes such a hold back with it.
OF_SITE = (NEVER_BEGAN, "no_gpu", "disk_full")
TAKEN_BACK_BY_COMMAND = (CANCELLED, *OF_SITE)


def read(sweep_folder: Path) -> dict[str, Any] | None:
    """Return what holds the sweep: {"cause", "message", "trials", "attempts", "at"}; None when nothing does.

    A damaged file holds it too.
    """
    return read_hold(sweep_folder.parent.parent, sweep_folder.name)


def create(sweep_folder: Path, *, cause: str, message: str, trials: Iterable[str], attempts: dict[str, int] | None = None) -> bool:
    """Hold the sweep; return False when it is held already. `attempts` maps a trial to the failed attempt that this hold accounts for."""
    held = {"cause": cause, "message": message, "trials": list(trials), "attempts": attempts or {}, "at": utc_now()}
    return atomic_files.create_text(hold_file(sweep_folder), json.dumps(held, indent=2, ensure_ascii=False) + "\n")


def remove(sweep_folder: Path) -> bool:
    """Let the sweep go on; return False when nothing held it. The hold is kept in `holds/`, lest the same failures hold it again."""
    if not hold_file(sweep_folder).exists():
        return False
    past = sweep_folder / "holds"
    atomic_files.make_folder(past)
    number = max((int(path.stem) for path in past.glob("[0-9]*.json")), default=0) + 1
    try:
        hold_file(sweep_folder).rename(past / f"{number:04}.json")
    except FileNotFoundError:
        return False
    return True


def take_back(sweep_folder: Path) -> str | None:
    """Let the sweep go on whose command is given again, where that is all it takes; return what held it, None where nothing did."""
    held = read(sweep_folder)
    return str(held["message"]) if held and held["cause"] in TAKEN_BACK_BY_COMMAND and remove(sweep_folder) else None


def hold_if_three_alike(sweep_folder: Path, runs: Path, trial_ids: Iterable[str]) -> dict[str, Any] | None:
    """Hold the sweep when three of its trials failed of one cause, none of them known from an earlier hold; return what holds it now."""
    held = read(sweep_folder)
    if held:
        return held
    states = read_statuses(runs, dict.fromkeys(trial_ids))
    failed = [
        state for state in states if state.status == "failed" and failed_for_good(trial_directory(runs, state.trial_id), state.record)
    ]
    known = _accounted_for(sweep_folder)
    alike: dict[str, list[TrialStatus]] = defaultdict(list)
    for state in failed:
        if (state.trial_id, state.attempt) not in known:
            alike[state.cause or "unknown"].append(state)
    for cause, same in alike.items():
        if len(same) >= ALIKE:
            message = f"{len(same)} trials failed of the same cause, {cause}: {same[0].message or 'no message'}"
            counted = {state.trial_id: state.attempt for state in failed}
            create(sweep_folder, cause=cause, message=message, trials=[state.trial_id for state in same], attempts=counted)
            return read(sweep_folder)
    return None


def trials_accounted_for(sweep_folder: Path) -> set[str]:
    """Return the trials whose failures earlier holds, since taken back, had counted."""
    return {trial_id for trial_id, _ in _accounted_for(sweep_folder)}


def _accounted_for(sweep_folder: Path) -> set[tuple[str, int]]:
    past = [hold_record(path) for path in (sweep_folder / "holds").glob("[0-9]*.json")]
    return {(trial_id, attempt) for held in past for trial_id, attempt in held["attempts"].items()}


def hold_file(sweep_folder: Path) -> Path:
    """Return the path of the file that holds the sweep."""
    return sweep_folder / "hold.json"
