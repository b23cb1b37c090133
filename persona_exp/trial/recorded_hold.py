"""Why nothing new of a sweep starts: its hold.json."""

from pathlib import Path
from typing import Any

from persona_exp.damaged_records import Damaged
from persona_exp.trial.record_files import read_json


def read_hold(runs: Path, name: str) -> dict[str, Any] | None:
    """Return why nothing new of sweep `name` starts (`cause`, `message`, `trials`, `at`); None while it is not held."""
    try:
        return hold_record(runs / "sweeps" / name / "hold.json")
    except (FileNotFoundError, NotADirectoryError):
        return None


def hold_record(path: Path) -> dict[str, Any]:
    """Return what a hold's file says. A damaged one holds all the same, with the cause `damaged` and what lets the sweep go on.

    Raise FileNotFoundError where there is none.
    """
    try:
        held = read_json(path)
    except Damaged:
        held = {}
    texts = all(isinstance(held.get(key), str) for key in ("cause", "message"))
    if texts and isinstance(held.get("at"), str | None) and isinstance(held.get("attempts", {}), dict):
        return {**held, "trials": held.get("trials", []), "attempts": held.get("attempts", {})}
    again = f"`persona-exp retry {path.parent.name}` lets the sweep go on and keeps that file in holds/"
    return {"cause": "damaged", "message": f"its {path.name} is damaged; {again}", "trials": [], "attempts": {}, "at": None}
