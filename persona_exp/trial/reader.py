"""Reads what sweeps and trials left under runs/. Reads only: no torch, no writing, no opinion on the figures."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from persona_exp.errors import UserError
from persona_exp.trial.record import attempt_files, read_record
from persona_exp.trial.state import read_state

# Nothing that a trial or a sweep has written is written over: only what is gone is made again.
AGAIN = "remove it and run the sweep's command again."


@dataclass(frozen=True)
class SweepTrial:
    """One trial that a sweep asked for.

    `role` is `adapter` or `base`; `overrides` are the swept keys that this trial reads; `evaluations` maps a condition to the
    eval_id of what the sweep wants measured. Rehearsals (engine=noop) measure nothing.
    """

    trial_id: str
    role: str
    overrides: dict[str, Any]
    evaluations: dict[str, str]

    @property
    def title(self) -> str:
        """The trial as a person would name it within its sweep."""
        if self.role == "base":
            return "base model"
        return " ".join(f"{key}={value}" for key, value in self.overrides.items()) or "adapter"


@dataclass(frozen=True)
class Sweep:
    """What one `-m` command asked for."""

    name: str
    command: str
    swept: list[str]
    created: str
    trials: list[SweepTrial]


@dataclass(frozen=True)
class Evaluation:
    """One published evaluation.

    `settings` are what was asked, `counts` what was found; `metrics` maps a name to `{"value", "n", "unit"}`; `items` has one
    record a scored reply.
    """

    eval_id: str
    condition: str
    split: str
    settings: dict[str, Any]
    counts: dict[str, int]
    metrics: dict[str, dict[str, Any]]
    items: list[dict[str, Any]]
    folder: Path


@dataclass(frozen=True)
class Trial:
    """All that one trial left on disk.

    `log` has one record a logged step, ascending, with `eval_loss` where the validation split was looked at; `attempts` are the attempt
    files, ascending; `traceback` is what the last attempt failed with.
    """

    trial_id: str
    status: str
    cause: str | None
    message: str | None
    config: dict[str, Any]
    provenance: dict[str, Any]
    attempts: list[dict[str, Any]]
    log: list[dict[str, Any]]
    evaluations: list[Evaluation]
    traceback: str | None


def sweep_names(runs: Path) -> list[str]:
    """The sweeps under `runs`, by name."""
    folder = runs / "sweeps"
    try:
        names = os.listdir(folder)  # noqa: PTH208 (names are all that is wanted)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(name for name in names if (folder / name / "sweep.yaml").is_file())


def read_sweep(runs: Path, name: str) -> Sweep:
    """The sweep `name` under `runs`; UserError where there is none or its sweep.yaml is not whole."""
    path = runs / "sweeps" / name / "sweep.yaml"
    content = read_yaml(path, f"There is no sweep at {path.parent}; give the folder of one, such as {runs}/sweeps/NAME.")
    missing = [key for key in ("command", "swept", "trials") if key not in content]
    if missing:
        raise UserError(f"{path} lacks {', '.join(missing)}; {AGAIN}")
    created = content.get("created", "")
    return Sweep(
        name=str(content.get("name", name)),
        command=str(content["command"]),
        swept=[str(key) for key in content["swept"] or []],
        # YAML turns an unquoted time into a datetime.
        created=created.isoformat() if isinstance(created, date) else str(created),
        trials=[_sweep_trial(path, entry) for entry in content["trials"] or []],
    )


def has_trial(runs: Path, trial_id: str) -> bool:
    """Whether the trial was sealed under `runs`."""
    return (_trial_folder(runs, trial_id) / "config.yaml").is_file()


def read_hold(runs: Path, name: str) -> dict[str, Any] | None:
    """Why nothing new of sweep `name` starts (`cause`, `message`, `trials`, `at`); None while it is not held."""
    path = runs / "sweeps" / name / "hold.json"
    return read_json(path) if path.is_file() else None


def read_traceback(trial_folder: Path, attempt: int) -> str | None:
    """What attempt number `attempt` failed with, as Python printed it; None where it left none."""
    path = trial_folder / "attempts" / f"{attempt:04}" / "traceback.txt"
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None


def read_trial(runs: Path, trial_id: str) -> Trial:
    """Everything of one trial; UserError where it was never sealed or a file of it is broken."""
    folder = _trial_folder(runs, trial_id)
    config = read_yaml(folder / "config.yaml", f"There is no trial {trial_id} under {runs}/trials; run its sweep again to seal it.")
    provenance = folder / "provenance.json"
    files = attempt_files(folder)
    state = read_state(folder)
    return Trial(
        trial_id=trial_id,
        status=state.status,
        cause=state.cause,
        message=state.message,
        config=config,
        provenance=read_json(provenance) if provenance.is_file() else {},
        attempts=[read_record(path) for path in files],
        log=_log([path.with_suffix("") for path in files]),
        evaluations=_evaluations(folder / "evaluations"),
        traceback=read_traceback(folder, state.attempt) if state.status == "failed" else None,
    )


def _trial_folder(runs: Path, trial_id: str) -> Path:
    return runs / "trials" / trial_id


def _sweep_trial(path: Path, entry: Mapping[str, Any]) -> SweepTrial:
    evaluations = entry.get("evaluations")
    if not isinstance(evaluations, Mapping):
        raise UserError(f"{path} does not say which evaluations its trials owe; {AGAIN}")
    # Twelve digits without a letter are a number to YAML, octal if they start with 0: nothing can bring the text back.
    for one in (entry.get("trial_id"), *evaluations.values()):
        if not isinstance(one, str):
            raise UserError(f"{path} has an id that is not text ({one!r}); put it in quotes.")
    return SweepTrial(entry["trial_id"], str(entry.get("role", "adapter")), dict(entry.get("overrides") or {}), dict(evaluations))


def _log(attempts: list[Path]) -> list[dict[str, Any]]:
    """Logged steps of all attempts; of a step that several attempts did, the highest attempt's record."""
    trained, looks = ([path / name for path in attempts if (path / name).is_file()] for name in ("train.jsonl", "validation.jsonl"))
    records = {int(record["step"]): record for path in trained for record in _jsonl(path)}
    for record in (record for path in looks for record in _jsonl(path)):
        records.setdefault(int(record["step"]), {"step": record["step"]})["eval_loss"] = record["eval_loss"]
    return [records[step] for step in sorted(records)]


def _evaluations(folder: Path) -> list[Evaluation]:
    # A name with a leading dot is one that is still being written.
    found = sorted(path for path in folder.glob("*") if not path.name.startswith(".") and (path / "metrics.json").is_file())
    return [_evaluation(path) for path in found]


def _evaluation(folder: Path) -> Evaluation:
    content = read_json(folder / "metrics.json")
    missing = [key for key in ("condition", "split", "metrics") if key not in content]
    if missing:
        raise UserError(f"{folder}/metrics.json lacks {', '.join(missing)}; remove that folder and evaluate again.")
    items = folder / "items.jsonl"
    return Evaluation(
        eval_id=str(content.get("eval_id", folder.name)),
        condition=str(content["condition"]),
        split=str(content["split"]),
        settings=dict(content.get("settings") or {}),
        counts=dict(content.get("counts") or {}),
        metrics=dict(content["metrics"]),
        items=_jsonl(items) if items.is_file() else [],
        folder=folder,
    )


def read_yaml(path: Path, absent: str) -> dict[str, Any]:
    """A YAML file's mapping. UserError: it is damaged, or `absent` where it is not there."""
    import yaml

    try:
        # libyaml reads the 1,000 trials of a large sweep in 0.1 s; the parser written in Python takes over a second.
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(absent) from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise UserError(f"{path} is not valid YAML; {AGAIN}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no settings; {AGAIN}")
    return content


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file's object. UserError: it is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise UserError(f"{path} is not valid JSON; {AGAIN}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no JSON object; {AGAIN}")
    return content


def _jsonl(path: Path) -> list[dict[str, Any]]:
    """Records of a JSONL file. A last line that a kill cut short is left out; any other bad line is an error."""
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.extend([json.loads(line)] if line.strip() else [])
        except ValueError:
            # The last element of the split is what follows the last newline: empty in a whole file.
            if number < len(lines):
                raise UserError(f"{path} line {number} is not JSON; remove the file and run the sweep's command again.") from None
    return records
