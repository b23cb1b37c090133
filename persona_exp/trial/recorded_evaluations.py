"""What was measured of a trial: its published evaluations, and the text that they were made on."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from persona_exp.damaged_records import Damaged
from persona_exp.trial.comparability import Basis, protocol
from persona_exp.trial.record_files import read_json, read_jsonl


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
    folder = runs / "trials" / trial_id / "evaluations"
    # A name with a leading dot is one that is still being written.
    return sorted(path for path in folder.glob("*") if not path.name.startswith(".") and (path / "metrics.json").is_file())


def _if_whole(folder: Path, items: bool) -> "Evaluation | Damaged":
    try:
        return _evaluation(folder, items)
    except Damaged as error:
        return error


def read_evaluation(runs: Path, trial_id: str, eval_id: str) -> Evaluation | None:
    """Return the evaluation of that id, without its items; None while it is not there. Raise Damaged where it cannot be read."""
    folder = runs / "trials" / trial_id / "evaluations" / eval_id
    return _evaluation(folder, False) if (folder / "metrics.json").is_file() else None


def evaluations_by_condition(runs: Path, trial_id: str, wanted: Mapping[str, str]) -> dict[str, Evaluation]:
    """Return by condition those of the evaluations `wanted`, condition to eval_id, that are there and whole, without their items."""
    folders = {condition: runs / "trials" / trial_id / "evaluations" / eval_id for condition, eval_id in wanted.items()}
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
