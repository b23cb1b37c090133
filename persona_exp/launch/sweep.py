"""A sweep: sealed, run, reported."""

import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from persona_exp import files
from persona_exp.config.identity import GROUPS_READ
from persona_exp.config.schema import Config
from persona_exp.errors import UserError
from persona_exp.launch.local import run_locally
from persona_exp.launch.single import data_id, finished
from persona_exp.trial.attempt import now
from persona_exp.trial.provenance import ROOT
from persona_exp.trial.seal import Sealed, seal
from persona_exp.trial.stages import owed

LONGEST_SLUG = 80


@dataclass(frozen=True)
class Request:
    """One trial that a sweep asks for, with the swept overrides that tell it from the others."""

    config: Config
    overrides: dict[str, Any]


@dataclass(frozen=True)
class _Row:
    trial: Sealed
    config: Config
    role: str
    overrides: dict[str, Any]
    evaluations: dict[str, str]

    @property
    def title(self) -> str:
        if self.role == "base":
            return "base model"
        return " ".join(f"{key}={value}" for key, value in self.overrides.items()) or self.config.method.name


def run_sweep(*, arguments: Sequence[str], swept: Sequence[str], requests: Sequence[Request]) -> int:
    """Seal every trial and its base model, run what is not finished, write the report; the worst exit code.

    Nothing runs before all are sealed, so that a mistake in the last trial costs no time of the first.
    """
    if not requests:
        raise UserError("The sweep holds no trial: give at least one value for each swept setting.")
    command = shlex.join(["python", "run.py", "-m", *arguments])
    rows = _rows(requests, command)
    runs = Path(requests[0].config.runs)
    named = [argument for argument in arguments if argument.split("=")[0].lstrip("+~") in swept]
    name = sweep_name(named, [eval_id for row in rows for eval_id in row.evaluations.values()])
    folder = runs / "sweeps" / name
    files.create_text(folder / "sweep.yaml", _description(name, command, swept, rows))
    waiting = [row for row in rows if not finished(row.trial, row.config)]
    print(f"Sweep {name}: {len(rows)} trials, {len(rows) - len(waiting)} finished, {len(waiting)} to run.", flush=True)
    code = run_locally([row.trial for row in waiting], [row.title for row in waiting])
    return max(code, report(folder))


def report(folder: Path) -> int:
    """Write and print the tables and figures of the sweep in `folder`, in a process of its own."""
    command = [sys.executable, "-m", "analysis.report", str(folder.absolute())]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def sweep_name(arguments: Sequence[str], eval_ids: Sequence[str]) -> str:
    """A readable slug of the overrides and eight hex digits of the evaluations asked for: the same command gives the same name."""
    slug = ",".join(argument for argument in arguments if "/" not in argument)
    slug = re.sub(r"[^A-Za-z0-9._=,+-]+", "_", slug)[:LONGEST_SLUG].strip("_,")
    return "-".join(filter(None, [slug, files.digest(sorted(eval_ids))[:8]]))


def _rows(requests: Sequence[Request], command: str) -> list[_Row]:
    """Base models first, then the trials; what asks for the same evaluations of the same trial is there once."""
    bases = [replace(one.config, method=replace(one.config.method, name="none")) for one in requests]
    rows = [_row(base, "base", {}, command) for base in bases]
    rows += [_row(one.config, "adapter", _read(one), command) for one in requests if one.config.method.name != "none"]
    return list({tuple(row.evaluations.values()): row for row in reversed(rows)}.values())[::-1]


def _read(request: Request) -> dict[str, Any]:
    """The swept overrides that the trial's method reads: full fine-tuning has no rank, whatever the grid says."""
    unread = {"lora", "optim", "train"} - set(GROUPS_READ[request.config.method.name])
    return {key: value for key, value in request.overrides.items() if key.split(".")[0] not in unread}


def _row(config: Config, role: str, overrides: dict[str, Any], command: str) -> _Row:
    trial = seal(config, command=command)
    evaluations = {one.condition: one.eval_id for one in owed(config, trial.trial_id, data_id(trial))}
    return _Row(trial, config, role, overrides, evaluations)


def _description(name: str, command: str, swept: Sequence[str], rows: Sequence[_Row]) -> str:
    trials = [
        {"trial_id": row.trial.trial_id, "role": row.role, "overrides": row.overrides, "evaluations": row.evaluations} for row in rows
    ]
    what = {"name": name, "command": command, "swept": list(swept), "created": now(), "trials": trials}
    return yaml.safe_dump(what, sort_keys=False, allow_unicode=True)
