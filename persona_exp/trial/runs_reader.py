"""Reads what a trial left under runs/. Reads only: no torch, no writing, no opinion on the figures."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from persona_exp.damaged_records import Damaged, parsed_json
from persona_exp.trial.attempt_records import attempt_files, read_record
from persona_exp.trial.comparability import Basis, basis
from persona_exp.trial.record_files import read_jsonl
from persona_exp.trial.recorded_evaluations import Evaluation, read_evaluations
from persona_exp.trial.recorded_provenance import read_provenance
from persona_exp.trial.trial_status import read_status

# So long the header of a safetensors file is at most, by its format.
MOST_HEADER_BYTES = 100_000_000


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


def has_trial(runs: Path, trial_id: str) -> bool:
    """Return whether the trial was sealed under `runs`."""
    return (runs / "trials" / trial_id / "config.yaml").is_file()


def read_traceback(trial_folder: Path, attempt: int) -> str | None:
    """Return what attempt number `attempt` failed with, as Python printed it; None where it left none."""
    path = trial_folder / "attempts" / f"{attempt:04}" / "traceback.txt"
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None


def read_trial(runs: Path, trial_id: str) -> Trial:
    """Return everything of one trial, without the attempts that cannot be read.

    Raise UserError where it was never sealed, or another file of it is damaged.
    """
    from persona_exp.trial.seal_facts import sealed_config

    folder = runs / "trials" / trial_id
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
