"""What a sweep's trials weigh, for whoever plans again without reading their configs: `loads.json` in the sweep's folder."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from persona_exp import files
from persona_exp.errors import UserError
from persona_exp.launch.planning.bundles import Load, Task, Terms
from persona_exp.trial.seal import read_seal_facts

NAME = "loads.json"


def write(sweep_folder: Path, loads: Iterable[Load]) -> None:
    """Replace what the folder says."""
    files.write_text(sweep_folder / NAME, json.dumps([asdict(load) for load in loads], indent=0) + "\n")


def read(sweep_folder: Path, seals: Sequence[str]) -> list[Load]:
    """The load of each of these seals (paths relative to runs/trials); one that the folder does not know has what its seal tells."""
    known = {seal: load for load in _kept(sweep_folder / NAME) for seal in load.seals}
    trials = sweep_folder.absolute().parent.parent / "trials"
    return [known[seal] if seal in known else _told(trials, seal) for seal in seals]


def options(terms: Terms, tasks: Sequence[Task]) -> dict[str, Any]:
    """What a record says of its plan, below "launch": the terms for the next round, and how many ride together in each task."""
    return {"terms": asdict(terms), "together": [task.at_once for task in tasks]}


def terms_of(launch: dict[str, Any]) -> Terms:
    """The terms in what `options` gave; of a record from before there were any, trials by themselves."""
    return Terms(**launch["terms"]) if "terms" in launch else Terms(trials_per_task=launch.get("trials_per_task"))


def _kept(path: Path) -> list[Load]:
    names = [one.name for one in fields(Load)]
    try:
        found = [{name: one[name] for name in names if name in one} for one in json.loads(path.read_text(encoding="utf-8"))]
        return [Load(**{**one, "seals": tuple(one["seals"])}) for one in found]
    except (OSError, ValueError, TypeError, KeyError):
        # A plan can do without.
        return []


def _told(trials: Path, seal: str) -> Load:
    try:
        facts = read_seal_facts(trials / seal)
    except UserError:
        # Whoever is to run it will say so.
        return Load((seal,))
    work = 0.0 if facts.get("method") == "none" else 1.0
    return Load((seal,), facts.get("base"), work, brief=facts.get("engine") == "noop")
