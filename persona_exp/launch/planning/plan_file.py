"""The plan on disk, for a later round that reads no configs: `loads.json` in the sweep's folder, and the terms in a submission."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from persona_exp import atomic_files
from persona_exp.errors import UserError
from persona_exp.launch.planning.bundle_plan import Task, Terms, TrialCost
from persona_exp.trial.seal_facts import read_seal_facts

NAME = "loads.json"
# Terms whose name in submissions is an older one.
ON_DISK = {"slot_bytes": "lane_bytes"}


def write(sweep_folder: Path, costs: Iterable[TrialCost]) -> None:
    """Replace the costs in the folder."""
    atomic_files.write_text(sweep_folder / NAME, json.dumps([asdict(one) for one in costs], indent=0, allow_nan=False) + "\n")


def read(sweep_folder: Path, seals: Sequence[str]) -> list[TrialCost]:
    """Return the cost of each of these seals (paths relative to runs/trials); one that the folder does not know has what its seal tells."""
    known = {seal: one for one in _kept(sweep_folder / NAME) for seal in one.seals}
    trials = sweep_folder.absolute().parent.parent / "trials"
    return [known[seal] if seal in known else _from_seal(trials, seal) for seal in seals]


def options(terms: Terms, tasks: Sequence[Task]) -> dict[str, Any]:
    """Return what a submission records of its plan, below "launch": the terms for the next round, and each task's trials at once."""
    kept = {ON_DISK.get(name, name): value for name, value in asdict(terms).items()}
    return {"terms": kept, "together": [task.at_once for task in tasks]}


def terms_of(launch: dict[str, Any]) -> Terms:
    """Return the terms in what `options` gave; of a record from before there were any, trials by themselves."""
    if "terms" not in launch:
        return Terms(trials_per_task=launch.get("trials_per_task"))
    names = {on_disk: name for name, on_disk in ON_DISK.items()}
    return Terms(**{names.get(name, name): value for name, value in launch["terms"].items()})


def _kept(path: Path) -> list[TrialCost]:
    names = [one.name for one in fields(TrialCost)]
    try:
        found = [{name: one[name] for name in names if name in one} for one in json.loads(path.read_text(encoding="utf-8"))]
        return [TrialCost(**{**one, "seals": tuple(one["seals"])}) for one in found]
    except (OSError, ValueError, TypeError, KeyError):
        # A plan can do without.
        return []


def _from_seal(trials: Path, seal: str) -> TrialCost:
    try:
        facts = read_seal_facts(trials / seal)
    except UserError:
        # The worker that is to run it will report that.
        return TrialCost((seal,))
    work = 0.0 if facts.get("method") == "none" else 1.0
    return TrialCost((seal,), facts.get("base"), work, brief=facts.get("engine") == "noop")
