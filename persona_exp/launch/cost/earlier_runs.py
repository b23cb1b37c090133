"""What earlier runs recorded of their time, memory and device, and what new trials have to do."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from persona_exp import atomic_files
from persona_exp.config.schema import Cluster, Config
from persona_exp.errors import UserError
from persona_exp.trial.trial_directory import trial_directory

# Clocks in records are to the second.
SHORTEST_SECONDS = 1.0


@dataclass(frozen=True)
class TrialWork:
    """What a trial has to do. `data` names the drawn examples and where they are cut; `steps` is None where only they can tell."""

    model: str
    method: str
    quantisation: str
    data: str
    steps: int | None
    epochs: float
    examples_a_step: int
    # None: the examples are not at hand to be counted.
    examples: int | None
    # The base model as it is computed.
    base: str = ""

    @property
    def trains(self) -> bool:
        return self.method != "none"


@dataclass(frozen=True)
class RunRecord:
    """One finished attempt. `rate` is seconds of training a token (None where nothing was trained), `around` the seconds before and
    after: loading, evaluation, publishing. Of the bundle in which it was trained (None: it was alone), what all of its trials did and
    took; `slot` is what the trial's own part of that memory depends on: rank, target modules, optimizer."""

    model: str
    method: str
    quantisation: str
    data: str
    device: str
    is_gpu: bool
    examples: int | None
    tokens_an_example: float | None
    rate: float | None
    around: float
    base: str = ""
    bundle: "Bundle | None" = None
    slot: tuple[int, tuple[str, ...], str] | None = None
    # One process runs one bundle: its trials met the same device in the same hour, and are one measurement. None: not known.
    process: tuple[str, ...] | None = None

    @property
    def measurement(self) -> object:
        """The same of records that are not independent of each other."""
        return self.process or id(self)


@dataclass(frozen=True)
class Probe:
    """What a device showed before the first step of `trials`: (tokens of a row, tokens a second), the memory between rows and what each
    token of a row needs besides (bytes)."""

    trials: int
    speeds: tuple[tuple[int, float], ...]
    resident_bytes: int
    bytes_per_token: float


@dataclass(frozen=True)
class Bundle:
    """Of `trials` at once, rows of `row_tokens`: real tokens a step and a second, and the device's memory at its peak (bytes). What no
    record tells is None."""

    trials: int
    row_tokens: int | None
    tokens_a_step: float | None
    tokens_per_second: float | None
    peak_memory_bytes: int | None
    probe: Probe | None = None


@dataclass(frozen=True)
class History:
    """The work of sealed trials by their id, None where a provenance cannot be read, and what is recorded of their base models."""

    works: dict[str, TrialWork] | None
    records: tuple[RunRecord, ...] = ()

    def of(self, trial_ids: Sequence[str]) -> list[TrialWork] | None:
        """Return the works of these trials, in their order; None where one is not known."""
        return None if self.works is None else [self.works[trial_id] for trial_id in trial_ids]


def read(runs: Path, trial_ids: Sequence[str], configs: Sequence[Config]) -> History:
    """Return what is recorded of these sealed trials and of those before them. Rehearsals have no history."""
    if all(config.engine.name == "noop" for config in configs):
        return History(None)
    works = works_of(runs, trial_ids, configs)
    if works is None:
        return History(None)
    return History(dict(zip(trial_ids, works, strict=True)), tuple(read_records(runs, {work.model for work in works})))


def of_one_device(records: Sequence[RunRecord], *, gpu: bool, kind: str | None) -> tuple[list[RunRecord], str | None]:
    """Return the records of the device that most of them are of, and its name; `kind` is part of the name of a GPU (None: any)."""
    fitting = [one for one in records if one.is_gpu == gpu and (kind is None or not gpu or kind.lower() in one.device.lower())]
    devices = [one.device for one in fitting]
    if not devices:
        return [], None
    most = max(sorted(set(devices)), key=devices.count)
    return [one for one in fitting if one.device == most], most


def gpu_kind(cluster: Cluster) -> str | None:
    """Return a100 of a100:1, None where the site names no type: it is taken to have the GPUs that most records are of."""
    return cluster.gpus_per_node.split(":")[0] if cluster.gpus_per_node and ":" in cluster.gpus_per_node else None


def works_of(runs: Path, trial_ids: Sequence[str], configs: Sequence[Config]) -> list[TrialWork] | None:
    """Return the work of each sealed trial, in the same order; None where a provenance cannot be read."""
    works, counts = [], dict[str, int | None]()
    for trial_id, config in zip(trial_ids, configs, strict=True):
        what = _identity(trial_directory(runs, trial_id).provenance)
        if what is None:
            return None
        names, train = _names(what), what.get("train", {})
        steps = train.get("stop_at_step") or train.get("max_steps")
        # The trials of a sweep mostly share their examples.
        if train and not steps and names["data"] not in counts:
            counts[names["data"]] = _count(config, str(what["data_id"]))
        works.append(
            TrialWork(
                **names,
                steps=steps,
                epochs=float(train.get("epochs", 0)),
                examples_a_step=int(what.get("optim", {}).get("effective_batch_size", 1)),
                examples=counts.get(names["data"]),
                base=_base(what),
            )
        )
    return works


def read_records(runs: Path, models: Collection[str]) -> list[RunRecord]:
    """Return one record for every finished attempt of a trial on one of the base models (digests). A file that cannot be read is left out:
    an estimate needs not every one."""
    found = []
    for folder in (runs / "trials").glob("*"):
        what = _identity(folder / "provenance.json")
        if what is None or what["model"]["digest"] not in models:
            continue
        attempts = (_json(path) for path in (folder / "attempts").glob("[0-9]*.json"))
        found += [record for attempt in attempts if attempt and (record := _record(what, attempt))]
    return found


def _record(what: dict[str, Any], attempt: dict[str, Any]) -> RunRecord | None:
    """Return None for an attempt that did not train and evaluate its trial to the end."""
    hardware, labels, training = attempt.get("hardware"), attempt.get("labels"), attempt.get("training")
    if attempt.get("status") != "finished" or not hardware or not attempt.get("ended"):
        return None
    names = _names(what)
    lasted = own_seconds(attempt)
    rate = length = None
    if names["method"] != "none":
        if not labels or not training or not labels["examples"]:
            return None
        steps = training["steps"] - training["resumed_from_step"]
        length = labels["tokens"] / labels["examples"]
        if steps < 1 or training["seconds"] <= 0:
            return None
        rate = training["seconds"] / (steps * what["optim"]["effective_batch_size"] * length)
        lasted -= training["seconds"] + training.get("validation_seconds", 0.0)
    return RunRecord(
        **names,
        device=str(hardware.get("gpu") or hardware.get("cpu")),
        is_gpu=bool(hardware.get("gpu")),
        examples=labels["examples"] if labels else None,
        tokens_an_example=length,
        rate=rate,
        around=max(lasted, SHORTEST_SECONDS),
        base=_base(what),
        bundle=_bundle(training),
        slot=_slot(what),
        process=_process(attempt),
    )


def bundle_size(attempt: Mapping[str, Any]) -> int:
    """Return among how many trials an attempt's time is divided: those trained together, without others that were admitted later."""
    recorded = (attempt.get("training") or {}).get("bundle") or {}
    return int(recorded.get("trials") or attempt.get("together") or 1 + len(attempt.get("together_with") or ()))


def _process(attempt: Mapping[str, Any]) -> tuple[str, ...] | None:
    return tuple(str(attempt.get(name)) for name in ("host", "pid", "process_started")) if attempt.get("pid") else None


def own_seconds(attempt: Mapping[str, Any]) -> float:
    """Return the seconds of an attempt that has ended, of a bundle its part: the recorded one, else an equal one."""
    if "own_seconds" in attempt:
        return float(attempt["own_seconds"])
    lasted = datetime.fromisoformat(attempt["ended"]) - datetime.fromisoformat(attempt["started"])
    return lasted.total_seconds() / bundle_size(attempt)


def _bundle(training: dict[str, Any] | None) -> Bundle | None:
    recorded = (training or {}).get("bundle")
    if not training or not recorded or not recorded.get("trials"):
        return None
    return Bundle(
        int(recorded["trials"]),
        recorded.get("row_tokens"),
        recorded.get("tokens_a_step"),
        recorded.get("tokens_per_second"),
        training.get("peak_memory_bytes"),
        _probe(recorded.get("probe")),
    )


def _probe(recorded: dict[str, Any] | None) -> Probe | None:
    if not recorded:
        return None
    speeds = tuple((int(tokens), float(speed)) for tokens, speed in recorded["speeds"])
    return Probe(int(recorded["trials"]), speeds, int(recorded["resident_bytes"]), float(recorded["bytes_per_token"]))


def _slot(what: dict[str, Any]) -> tuple[int, tuple[str, ...], str] | None:
    lora = what.get("lora")
    return (int(lora["r"]), tuple(lora["target_modules"]), str(what["optim"]["name"])) if lora else None


def _base(what: dict[str, Any]) -> str:
    """Return a digest that is the same for trials whose base model is computed in the same way, so that their steps are equally fast."""
    method, model = what["method"], what["model"]
    return atomic_files.digest(
        [model["digest"], method["quantisation"], method.get("double_quantisation"), model.get("dtype"), model.get("attention")]
    )


def _names(what: dict[str, Any]) -> dict[str, str]:
    return {
        "model": str(what["model"]["digest"]),
        "method": str(what["method"]["name"]),
        "quantisation": str(what["method"]["quantisation"]),
        "data": atomic_files.digest([what["data_id"], what.get("mix"), what.get("train", {}).get("max_length")]),
    }


def _count(config: Config, data_id: str) -> int | None:
    from persona_exp.trial.trial_dataset import training_examples

    try:
        return len(training_examples(config, data_id))
    except (OSError, UserError):
        # The dataset was cleared away; a record may tell.
        return None


def _identity(path: Path) -> dict[str, Any] | None:
    provenance = _json(path)
    what = provenance.get("identity") if provenance else None
    return what if isinstance(what, dict) and "model" in what and "method" in what else None


def _json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
