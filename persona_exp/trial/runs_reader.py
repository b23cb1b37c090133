"""Reads what sweeps and trials left under runs/. Reads only: no torch, no writing, no opinion on the figures."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from persona_exp.damaged_records import Damaged, parsed_json, parsed_yaml, record_bytes
from persona_exp.errors import UserError
from persona_exp.trial.added_trials import added_trials
from persona_exp.trial.attempt_records import attempt_files, read_record
from persona_exp.trial.comparability import Basis, basis, distinguishing, protocol
from persona_exp.trial.folder_ids import are_evaluations, is_data_id, is_id
from persona_exp.trial.sweep_file import parse_sweep
from persona_exp.trial.trial_status import read_status

# What sealing writes it writes anew where it is damaged; what a trial has published it does not.
AGAIN = "run the sweep's command again, which writes it anew and keeps this file beside it."


# So long the header of a safetensors file is at most, by its format.
MOST_HEADER_BYTES = 100_000_000


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

    @property
    def version(self) -> int | None:
        """The EVALUATION_VERSION that made it."""
        version = self.settings.get("EVALUATION_VERSION")
        return None if version is None else int(version)

    @property
    def protocol(self) -> dict[str, Any]:
        """All that decides its figures beside what is evaluated; figures compare where this is equal."""
        return protocol(self.split, self.settings)

    @property
    def place(self) -> str:
        """`adapter, test`."""
        return f"{self.condition}, {self.split}"

    @property
    def figures(self) -> dict[str, float]:
        """Its metrics by `adapter, test: perplexity`."""
        return {f"{self.place}: {name}": float(metric["value"]) for name, metric in self.metrics.items()}


@dataclass(frozen=True)
class Trial:
    """All that one trial left on disk.

    `log` has one record a logged step, ascending, with `eval_loss` where it was validated; `attempts` are the attempt
    files, ascending; `traceback` is what the last attempt failed with; `trained_weights` are those in what it published, None where there
    is nothing.
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
    trained_weights: int | None = None

    @property
    def basis(self) -> Basis:
        return basis(self.provenance)


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


def has_trial(runs: Path, trial_id: str) -> bool:
    """Return whether the trial was sealed under `runs`."""
    return (_trial_folder(runs, trial_id) / "config.yaml").is_file()


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


def read_traceback(trial_folder: Path, attempt: int) -> str | None:
    """Return what attempt number `attempt` failed with, as Python printed it; None where it left none."""
    path = trial_folder / "attempts" / f"{attempt:04}" / "traceback.txt"
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None


def read_trial(runs: Path, trial_id: str) -> Trial:
    """Return everything of one trial, without the attempts that cannot be read.

    Raise UserError where it was never sealed, or another file of it is damaged.
    """
    from persona_exp.trial.seal_facts import sealed_config

    folder = _trial_folder(runs, trial_id)
    config = sealed_config(folder)
    files = attempt_files(folder)
    state = read_status(folder)
    return Trial(
        trial_id=trial_id,
        status=state.status,
        cause=state.cause,
        message=state.message,
        config=config,
        provenance=read_provenance(runs, trial_id),
        attempts=[read_record(path) for path in files],
        log=read_log([path.with_suffix("") for path in files]),
        evaluations=read_evaluations(runs, trial_id, items=True),
        traceback=read_traceback(folder, state.attempt) if state.status == "failed" else None,
        trained_weights=_weights(folder / "adapter"),
    )


def _weights(folder: Path) -> int | None:
    """Return how many weights the safetensors files of a folder hold, by their headers; None where there are none."""
    counts = []
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            try:
                header = parsed_json(file.read(length) if length < MOST_HEADER_BYTES else b"")
                counts.append(sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__"))
            except (ValueError, KeyError, TypeError, AttributeError):
                raise Damaged(f"{path} is damaged: remove {folder} and run the sweep's command again to train it anew.") from None
    return sum(counts) if counts else None


def read_provenance(runs: Path, trial_id: str) -> dict[str, Any]:
    """Return what a trial was sealed with; empty where nothing says. Raise Damaged where it cannot be read."""
    path = f"{runs}/trials/{trial_id}/provenance.json"
    try:
        content = read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    identity = content.get("identity") or {}
    parts = [identity, content.get("code") or {}]
    parts += [identity.get(key) or {} for key in ("model", "method")] if isinstance(identity, dict) else []
    version = identity.get("training_version") if isinstance(identity, dict) else None
    texts = all(isinstance(content.get(key), str | None) for key in ("command", "sealed", "model_digest"))
    ids = isinstance(content.get("identity"), dict) and (content.get("data_id") is None or is_data_id(content["data_id"]))
    if (
        "identity" not in content
        or not (texts and ids)
        or not all(isinstance(one, dict) for one in parts)
        or not isinstance(version, int | None)
    ):
        raise Damaged(f"{path} is not of the form that is written; {AGAIN}")
    return content


def provenance_if_whole(runs: Path, trial_id: str) -> dict[str, Any]:
    """Return `read_provenance`, empty where that is damaged: then nothing is comparable with the trial."""
    try:
        return read_provenance(runs, trial_id)
    except Damaged:
        return {}


def read_evaluations(runs: Path, trial_id: str, *, items: bool = False) -> list[Evaluation]:
    """Return all that was measured of a trial, by whichever sweep it was asked for, by eval_id; with `items` their scored replies too.

    Those that are damaged are left out: `damaged_evaluations` names them.
    """
    found = [_if_whole(path, items) for path in _evaluation_folders(runs, trial_id)]
    return [one for one in found if isinstance(one, Evaluation)]


def damaged_evaluations(runs: Path, trial_id: str) -> list[str]:
    """Return a sentence for each evaluation of a trial that cannot be read."""
    return [str(one) for path in _evaluation_folders(runs, trial_id) if isinstance(one := _if_whole(path, False), Damaged)]


def _evaluation_folders(runs: Path, trial_id: str) -> list[Path]:
    folder = _trial_folder(runs, trial_id) / "evaluations"
    # A name with a leading dot is one that is still being written.
    return sorted(path for path in folder.glob("*") if not path.name.startswith(".") and (path / "metrics.json").is_file())


def _if_whole(folder: Path, items: bool) -> "Evaluation | Damaged":
    try:
        return _evaluation(folder, items)
    except Damaged as error:
        return error


def read_evaluation(runs: Path, trial_id: str, eval_id: str) -> Evaluation | None:
    """Return the evaluation of that id, without its items; None while it is not there. Raise Damaged where it cannot be read."""
    folder = _trial_folder(runs, trial_id) / "evaluations" / eval_id
    return _evaluation(folder, False) if (folder / "metrics.json").is_file() else None


def read_requested_evaluations(runs: Path, trial: SweepTrial) -> dict[str, Evaluation]:
    """Return what a sweep asked to have measured of a trial, by condition, as far as it is there and whole; nothing others asked for."""
    folders = {condition: _trial_folder(runs, trial.trial_id) / "evaluations" / eval_id for condition, eval_id in trial.evaluations.items()}
    found = {condition: _if_whole(path, False) for condition, path in folders.items() if (path / "metrics.json").is_file()}
    return {condition: one for condition, one in found.items() if isinstance(one, Evaluation)}


def held_out_text(runs: Path, rests_on: Basis, split: str) -> str | None:
    """Return the digest of a split's file, else the data's id: datasets that differ in their training split may share a test split."""
    manifest = runs / "data" / str(rests_on.data_id) / "manifest.json"
    try:
        files = read_json(manifest).get("files") if manifest.is_file() else None
    except Damaged:
        # Then it compares with the same dataset alone.
        files = None
    return str(files[f"{split}.jsonl"]) if isinstance(files, dict) and f"{split}.jsonl" in files else rests_on.data_id


def _trial_folder(runs: Path, trial_id: str) -> Path:
    return runs / "trials" / trial_id


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
    config = _trial_folder(runs, trial.trial_id) / "config.yaml"
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


def read_log(attempts: list[Path]) -> list[dict[str, Any]]:
    """Return logged steps of all attempts; of a step that several attempts did, the highest attempt's record."""
    trained, validated = ([path / name for path in attempts if (path / name).is_file()] for name in ("train.jsonl", "validation.jsonl"))
    try:
        records = {int(record["step"]): record for path in trained for record in read_jsonl(path)}
        for record in (record for path in validated for record in read_jsonl(path)):
            records.setdefault(int(record["step"]), {"step": record["step"]})["eval_loss"] = record["eval_loss"]
    except (KeyError, TypeError, ValueError, OverflowError):
        where = ", ".join(str(path) for path in (*trained, *validated))
        raise Damaged(f"A line of {where} has no step; remove the file and run the sweep's command again.") from None
    return [records[step] for step in sorted(records)]


def _evaluation(folder: Path, items: bool) -> Evaluation:
    again = "remove that folder and run the sweep's command again, which evaluates anew"
    try:
        content = read_json(folder / "metrics.json")
    except Damaged:
        raise Damaged(f"{folder}/metrics.json is damaged; {again}.") from None
    missing = [key for key in ("condition", "split", "metrics") if key not in content]
    if missing:
        raise Damaged(f"{folder}/metrics.json lacks {', '.join(missing)}; {again}.")
    eval_id = str(content.get("eval_id", folder.name))
    if eval_id != folder.name:
        raise Damaged(f"{folder}/metrics.json is of evaluation {eval_id}; {again}.")
    if not _of_the_form(content):
        raise Damaged(f"{folder}/metrics.json is not of the form that is written; {again}.")
    scored = folder / "items.jsonl"
    return Evaluation(
        eval_id=eval_id,
        condition=str(content["condition"]),
        split=str(content["split"]),
        settings=dict(content.get("settings") or {}),
        counts=dict(content.get("counts") or {}),
        metrics=dict(content["metrics"]),
        items=read_jsonl(scored) if items and scored.is_file() else [],
        folder=folder,
    )


def _of_the_form(content: Mapping[str, Any]) -> bool:
    """Return whether metrics.json has numbers where its readers compute with them."""
    settings, counts, metrics = (content.get(key) or {} for key in ("settings", "counts", "metrics"))
    if not all(isinstance(one, dict) for one in (settings, counts, metrics)) or not isinstance(
        settings.get("EVALUATION_VERSION"), int | None
    ):
        return False
    values = [one.get("value") if isinstance(one, dict) else None for one in metrics.values()]
    return all(isinstance(one, int | float) and not isinstance(one, bool) for one in (*values, *counts.values()))


def read_yaml(path: Path, absent: str) -> dict[str, Any]:
    """Return a YAML file's mapping. Raise Damaged where it cannot be read, UserError (`absent`) where it is not there."""
    try:
        text = record_bytes(path).decode()
        content = parsed_yaml(text)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(absent) from None
    except (ValueError, IsADirectoryError):
        raise Damaged(f"{path} is not valid YAML; {AGAIN}") from None
    if not isinstance(content, dict):
        raise Damaged(f"{path} holds no settings; {AGAIN}")
    # YAML that was cut short between two values is YAML all the same.
    if not text.endswith("\n"):
        raise Damaged(f"{path} is cut short; {AGAIN}")
    return content


def read_json(path: str | Path) -> dict[str, Any]:
    """Return a JSON file's object. Raise Damaged where it cannot be read."""
    try:
        content = parsed_json(record_bytes(path))
    except (ValueError, IsADirectoryError):
        raise Damaged(f"{path} is not valid JSON; {AGAIN}") from None
    if not isinstance(content, dict):
        raise Damaged(f"{path} holds no JSON object; {AGAIN}")
    return content


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Return records of a JSONL file. A last line that a kill cut short is left out; any other bad line is an error."""
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.extend([parsed_json(line)] if line.strip() else [])
        except ValueError:
            # The last element of the split is what follows the last newline: empty in a whole file.
            if number < len(lines):
                raise Damaged(f"{path} line {number} is not JSON; remove the file and run the sweep's command again.") from None
    if not all(isinstance(one, dict) for one in records):
        raise Damaged(f"{path} holds a line that is no JSON object; remove the file and run the sweep's command again.")
    return records
