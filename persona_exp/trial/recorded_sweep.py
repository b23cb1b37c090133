"""What a sweep asked for: its sweep.yaml, with the trials that a person has added."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from persona_exp.damaged_records import Damaged, record_bytes
from persona_exp.errors import UserError
from persona_exp.trial.added_trials import added_trials
from persona_exp.trial.comparability import basis, distinguishing
from persona_exp.trial.folder_ids import are_evaluations, is_id
from persona_exp.trial.record_files import AGAIN, read_yaml
from persona_exp.trial.recorded_evaluations import Evaluation, evaluations_by_condition
from persona_exp.trial.recorded_provenance import provenance_if_whole
from persona_exp.trial.sweep_file import parse_sweep


@dataclass(frozen=True)
class SweepTrial:
    """One trial that a sweep asked for.

    `role` is `adapter` or `base`; `overrides` are the swept keys that this trial reads; `evaluations` maps a condition to the
    eval_id of what the sweep wants measured. Rehearsals (engine=noop) measure nothing. `apart` is what tells it from others of its
    sweep that are named alike.
    """

    trial_id: str
    role: str
    overrides: dict[str, Any]
    evaluations: dict[str, str]
    apart: str = ""

    @property
    def title(self) -> str:
        """The trial as a person would name it; no two of a sweep have one title."""
        return f"{self.plain_title} ({self.apart})" if self.apart else self.plain_title

    @property
    def plain_title(self) -> str:
        if self.role == "base":
            return "base model"
        return " ".join(f"{key}={_short(value)}" for key, value in self.overrides.items()) or "adapter"


def _short(value: Any) -> str:
    """Return the value of a setting; one that a search drew has as many digits as tell trials apart."""
    return f"{value:.4g}" if isinstance(value, float) and len(repr(value)) > len("0.000125") else str(value)


@dataclass(frozen=True)
class Sweep:
    """What one `-m` command asked for. Of the swept settings `arms` are compared, and `tuned` are chosen for each arm; `note` is the
    person's own line about it."""

    name: str
    command: str
    swept: list[str]
    created: str
    trials: list[SweepTrial]
    arms: tuple[str, ...] = ()
    tuned: tuple[str, ...] = ()
    note: str = ""


def sweep_names(runs: Path) -> list[str]:
    """Return the sweeps under `runs`, by name."""
    folder = runs / "sweeps"
    try:
        names = os.listdir(folder)  # noqa: PTH208 (names are all that is wanted)
    except (FileNotFoundError, NotADirectoryError):
        return []
    # A line break or a terminal's command in a name is none of ours.
    return sorted(name for name in names if name.isprintable() and (folder / name / "sweep.yaml").exists())


def read_sweep(runs: Path, name: str) -> Sweep:
    """Return the sweep `name` under `runs`, with the trials that a person has added.

    Raise UserError where there is none or its sweep.yaml is not whole.
    """
    path = runs / "sweeps" / name / "sweep.yaml"
    content = _sweep_content(path, f"There is no sweep at {path.parent}; give the folder of one, such as {runs}/sweeps/NAME.")
    missing = [key for key in ("command", "swept", "trials") if key not in content]
    if missing:
        raise Damaged(f"{path} lacks {', '.join(missing)}; {AGAIN}")
    lists = ("swept", "trials", "arms", "tuned")
    if not isinstance(content["command"], str) or not all(isinstance(content.get(key) or [], list) for key in lists):
        raise Damaged(f"{path} is not of the form that is written; {AGAIN}")
    created = content.get("created", "")
    trials = [_sweep_trial(path, entry) for entry in content["trials"] or []]
    swept = [str(key) for key in content["swept"] or []]
    listed = {trial.trial_id for trial in trials}
    for one in added_trials(path.parent):
        if one.trial_id not in listed:
            listed.add(one.trial_id)
            from_origin = next((trial.overrides for trial in trials if trial.trial_id == one.origin), {})
            trials.append(SweepTrial(one.trial_id, "adapter", {**from_origin, **one.overrides}, one.evaluations))
            swept += [key for key in one.overrides if key not in swept]
    return Sweep(
        name=name,
        command=str(content["command"]),
        swept=swept,
        # YAML turns an unquoted time into a datetime.
        created=created.isoformat() if isinstance(created, date) else str(created),
        trials=_distinguished(runs, trials),
        arms=tuple(map(str, content.get("arms") or ())),
        tuned=tuple(map(str, content.get("tuned") or ())),
        note=str(content.get("note") or ""),
    )


def sweep_note(sweep_folder: Path) -> str:
    """Return the person's own line about a sweep; empty where there is none, or its sweep.yaml cannot be read."""
    try:
        return read_sweep(sweep_folder.parent.parent, sweep_folder.name).note
    except UserError:
        return ""


def read_requested_evaluations(runs: Path, trial: SweepTrial) -> dict[str, Evaluation]:
    """Return what a sweep asked to have measured of a trial, by condition, as far as it is there and whole; nothing others asked for."""
    return evaluations_by_condition(runs, trial.trial_id, trial.evaluations)


def _distinguished(runs: Path, trials: list[SweepTrial]) -> list[SweepTrial]:
    """Return `trials` with what tells apart those named alike: base models of other precision, on other data, measured otherwise."""
    alike: dict[str, list[int]] = {}
    for place, trial in enumerate(trials):
        alike.setdefault(trial.plain_title, []).append(place)
    if len(alike) == len(trials):
        return trials
    apart = [trial.apart for trial in trials]
    for places in (places for places in alike.values() if len(places) > 1):
        found = distinguishing([_words(runs, trials[place]) for place in places])
        for place, text in zip(places, found, strict=True):
            own = ", ".join(filter(None, [text, trials[place].trial_id, *trials[place].evaluations.values()]))
            apart[place] = text if text and found.count(text) == 1 else own
    return [replace(trial, apart=text) for trial, text in zip(trials, apart, strict=True)]


def _words(runs: Path, trial: SweepTrial) -> dict[str, str]:
    config = runs / "trials" / trial.trial_id / "config.yaml"
    try:
        name = (read_yaml(config, AGAIN).get("model") or {}).get("name") if config.is_file() else None
    except (Damaged, AttributeError):
        # Its digest tells it apart.
        name = None
    measured = read_requested_evaluations(runs, trial).values()
    settings = {key: f"{key}={value}" for one in measured for key, value in one.protocol.items()}
    return {**basis(provenance_if_whole(runs, trial.trial_id)).words(name), **settings}


def _sweep_content(path: Path, absent: str) -> dict[str, Any]:
    try:
        content = parse_sweep(record_bytes(path).decode())
    except (OSError, UnicodeDecodeError):
        content = None
    return read_yaml(path, absent) if content is None else content


def _sweep_trial(path: Path, entry: Any) -> SweepTrial:
    evaluations = entry.get("evaluations") if isinstance(entry, Mapping) else None
    if not isinstance(evaluations, Mapping):
        raise Damaged(f"{path} does not say which evaluations its trials owe; {AGAIN}")
    # Twelve digits without a letter are a number to YAML, octal if they start with 0: nothing can bring the text back.
    for one in (entry.get("trial_id"), *evaluations.values()):
        if not isinstance(one, str):
            raise Damaged(f"{path} has an id that is not text ({one!r}); put it in quotes.")
    if not is_id(entry["trial_id"]) or not are_evaluations(dict(evaluations)) or not isinstance(entry.get("overrides") or {}, Mapping):
        raise Damaged(f"{path} lists a trial that is not of the form that is written ({str(entry['trial_id'])[:40]!r}); {AGAIN}")
    return SweepTrial(entry["trial_id"], str(entry.get("role", "adapter")), dict(entry.get("overrides") or {}), dict(evaluations))
