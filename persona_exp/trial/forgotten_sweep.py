"""Sweeps that a person wants to see no more: a file in the sweep's folder, until its command or `forget --undo` takes it away."""

from pathlib import Path

from persona_exp import atomic_files
from persona_exp.trial.attempt_claim_and_heartbeat import utc_now
from persona_exp.trial.recorded_sweep import sweep_names

NAME = "forgotten.json"


def is_forgotten(sweep_folder: Path) -> bool:
    """Return whether the sweep is hidden."""
    return (sweep_folder / NAME).exists()


def forget(sweep_folder: Path) -> bool:
    """Hide the sweep; return False where it is hidden already."""
    return atomic_files.create_text(sweep_folder / NAME, atomic_files.canonical_json({"at": utc_now()}) + "\n")


def take_back(sweep_folder: Path) -> bool:
    """Show the sweep again; return False where it was not hidden."""
    there = is_forgotten(sweep_folder)
    (sweep_folder / NAME).unlink(missing_ok=True)
    return there


def known_and_forgotten(runs: Path) -> tuple[list[str], list[str]]:
    """Return the names of the sweeps that are shown, and of those that are hidden."""
    names = sweep_names(runs)
    hidden = [name for name in names if is_forgotten(runs / "sweeps" / name)]
    return [name for name in names if name not in hidden], hidden
