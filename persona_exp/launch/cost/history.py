"""How long earlier trials took, and how long new ones will: seconds a token, and seconds around training."""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

from persona_exp import files
from persona_exp.config.schema import Config
from persona_exp.errors import UserError
from persona_exp.trial.directory import trial_directory

# 97.5 % quantiles of Student's t for 2 to 30 degrees of freedom.
T_975 = (
    *(4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131),
    *(2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
# With one degree of freedom an interval spans orders of magnitude, and helps nobody.
FEWEST = 3
# Clocks in records are to the second.
SHORTEST_SECONDS = 1.0

Range = tuple[float | None, float, float | None]


@dataclass(frozen=True)
class Work:
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
class Record:
    """One finished attempt. `rate` is seconds of training a token (None where nothing was trained), `around` the seconds before and
    after: loading, evaluation, publishing. Of the bundle in which it was trained (None: it was alone), what all of its trials did and
    took; `lane` is what the trial's own part of that memory hangs on: rank, target modules, optimiser."""

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
    lane: tuple[int, tuple[str, ...], str] | None = None
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

    works: dict[str, Work] | None
    records: tuple[Record, ...] = ()

    def of(self, trial_ids: Sequence[str]) -> list[Work] | None:
        """The works of these trials, in their order."""
        return None if self.works is None else [self.works[trial_id] for trial_id in trial_ids]


def read(runs: Path, trial_ids: Sequence[str], configs: Sequence[Config]) -> History:
    """What is known of these sealed trials and of those before them. Rehearsals have no past."""
    if all(config.engine.name == "noop" for config in configs):
        return History(None)
    works = works_of(runs, trial_ids, configs)
    if works is None:
        return History(None)
    return History(dict(zip(trial_ids, works, strict=True)), tuple(read_records(runs, {work.model for work in works})))


def of_one_device(records: Sequence[Record], *, gpu: bool, kind: str | None) -> tuple[list[Record], str | None]:
    """The records of the device that most of them are of, and its name; `kind` is part of the name of a GPU (None: any)."""
    fitting = [one for one in records if one.is_gpu == gpu and (kind is None or not gpu or kind.lower() in one.device.lower())]
    devices = [one.device for one in fitting]
    if not devices:
        return [], None
    most = max(sorted(set(devices)), key=devices.count)
    return [one for one in fitting if one.device == most], most


def works_of(runs: Path, trial_ids: Sequence[str], configs: Sequence[Config]) -> list[Work] | None:
    """The work of each sealed trial, in the same order; None where a provenance cannot be read."""
    works, counts = [], dict[str, int | None]()
    for trial_id, config in zip(trial_ids, configs, strict=True):
        what = _identity(trial_directory(runs, trial_id).provenance)
        if what is None:
            return None
        names, train = _names(what), what.get("train", {})
        steps = train.get("max_steps")
        # The trials of a sweep mostly share their examples.
        if train and not steps and names["data"] not in counts:
            counts[names["data"]] = _count(config, str(what["data_id"]))
        works.append(
            Work(
                **names,
                steps=steps,
                epochs=float(train.get("epochs", 0)),
                examples_a_step=int(what.get("optim", {}).get("effective_batch_size", 1)),
                examples=counts.get(names["data"]),
                base=_base(what),
            )
        )
    return works


def read_records(runs: Path, models: Collection[str]) -> list[Record]:
    """One record for every finished attempt of a trial on one of the base models (digests). A file that cannot be read is left out:
    an estimate needs not every one."""
    found = []
    for folder in (runs / "trials").glob("*"):
        what = _identity(folder / "provenance.json")
        if what is None or what["model"]["digest"] not in models:
            continue
        attempts = (_json(path) for path in (folder / "attempts").glob("[0-9]*.json"))
        found += [record for attempt in attempts if attempt and (record := _record(what, attempt))]
    return found


def predict(works: Sequence[Work], records: Sequence[Record]) -> tuple[Range, int] | None:
    """(low, mean, high) of the seconds that all of `works` take one after the other, and how many measurements that comes from.

    A trial takes tokens × (seconds a token) + the seconds around training, each the geometric mean of the measurements of the same
    model, method and quantisation; the trials of one bundle are one measurement, their geometric mean. The interval is Student's 95 %
    prediction interval for one more run, on the logarithms: all trials of the sweep are taken to be as slow, or as fast, as one of them
    may be, which is wider than if they varied by themselves. None where a model and method has no record; no interval where one of them
    has fewer than `FEWEST` measurements.
    """
    low, mean, high, bounded = 0.0, 0.0, 0.0, True
    used: set[object] = set()
    for key in {(work.model, work.method, work.quantisation) for work in works}:
        mine = [work for work in works if (work.model, work.method, work.quantisation) == key]
        own = [one for one in records if (one.model, one.method, one.quantisation) == key]
        around = own if mine[0].trains else _of_base(own, [one for one in records if (one.model, one.quantisation) == (key[0], key[2])])
        tokens = [tokens_of(work, own) for work in mine] if mine[0].trains else []
        if not around or any(count is None for count in tokens):
            return None
        ranges = [_scaled(_range(_measured(around, lambda one: one.around)), len(mine))]
        if mine[0].trains:
            rates = _measured(own, lambda one: one.rate)
            ranges.append(_scaled(_range(rates), math.fsum(count for count in tokens if count)))
        for least, middle, most in ranges:
            bounded = bounded and least is not None
            low, mean, high = low + (least or 0), mean + middle, high + (most or 0)
        used |= _measurements(around)
    return ((low, mean, high) if bounded else (None, mean, None)), len(used)


def tokens_of(work: Work, records: Sequence[Record]) -> float | None:
    """How many tokens the trial trains on in all; None where no record tells how long an example is."""
    length, steps = length_of(work, records), steps_of(work, records)
    return None if length is None or steps is None else steps * work.examples_a_step * length


def length_of(work: Work, records: Sequence[Record]) -> float | None:
    """Tokens an example, of the same data where a record has it, else of any."""
    lengths = [one.tokens_an_example for one in records if one.tokens_an_example and one.data == work.data]
    lengths = lengths or [one.tokens_an_example for one in records if one.tokens_an_example]
    return median(lengths) if lengths else None


def steps_of(work: Work, records: Sequence[Record]) -> int | None:
    """How many optimiser steps the trial takes; None where its examples cannot be counted."""
    counts = [one.examples for one in records if one.data == work.data and one.examples]
    examples = counts[0] if counts else work.examples
    if work.steps is None and examples is None:
        return None
    return work.steps or math.ceil(work.epochs * math.ceil((examples or 0) / work.examples_a_step))


def _of_base(own: Sequence[Record], alike: Sequence[Record]) -> Sequence[Record]:
    """The base model as it is does what surrounds training, and nothing else: where it has few records of its own, all tell of it."""
    return own if len(_measurements(own)) >= FEWEST else alike


def _measurements(records: Sequence[Record]) -> set[object]:
    return {one.measurement for one in records}


def _measured(records: Sequence[Record], figure: Callable[[Record], float | None]) -> list[float]:
    """The logarithm of a figure, once for each measurement that has it."""
    found: dict[object, list[float]] = defaultdict(list)
    for one in records:
        if value := figure(one):
            found[one.measurement].append(math.log(value))
    return [fmean(logs) for logs in found.values()]


def _range(logs: Sequence[float]) -> Range:
    middle, n = fmean(logs), len(logs)
    if n < FEWEST:
        return None, math.exp(middle), None
    quantile = T_975[n - FEWEST] if n - FEWEST < len(T_975) else 1.96 + 2.4 / (n - 1)
    half = quantile * stdev(logs) * math.sqrt(1 + 1 / n)
    return math.exp(middle - half), math.exp(middle), math.exp(middle + half)


def _scaled(values: Range, factor: float) -> Range:
    low, mean, high = values
    return None if low is None else low * factor, mean * factor, None if high is None else high * factor


def _record(what: dict[str, Any], attempt: dict[str, Any]) -> Record | None:
    """None for an attempt that did not train and evaluate its trial to the end."""
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
    return Record(
        **names,
        device=str(hardware.get("gpu") or hardware.get("cpu")),
        is_gpu=bool(hardware.get("gpu")),
        examples=labels["examples"] if labels else None,
        tokens_an_example=length,
        rate=rate,
        around=max(lasted, SHORTEST_SECONDS),
        base=_base(what),
        bundle=_bundle(training),
        lane=_lane(what),
        process=_process(attempt),
    )


def company(attempt: Mapping[str, Any]) -> int:
    """Among how many trials an attempt's time is shared out: those that were trained together, others that came later for them apart."""
    told = (attempt.get("training") or {}).get("bundle") or {}
    return int(told.get("trials") or attempt.get("together") or 1 + len(attempt.get("together_with") or ()))


def _process(attempt: Mapping[str, Any]) -> tuple[str, ...] | None:
    return tuple(str(attempt.get(name)) for name in ("host", "pid", "process_started")) if attempt.get("pid") else None


def own_seconds(attempt: Mapping[str, Any]) -> float:
    """How long an attempt that has ended took, of a bundle its part: as it says itself, else an equal one."""
    if "own_seconds" in attempt:
        return float(attempt["own_seconds"])
    lasted = datetime.fromisoformat(attempt["ended"]) - datetime.fromisoformat(attempt["started"])
    return lasted.total_seconds() / company(attempt)


def _bundle(training: dict[str, Any] | None) -> Bundle | None:
    told = (training or {}).get("bundle")
    if not training or not told or not told.get("trials"):
        return None
    return Bundle(
        int(told["trials"]),
        told.get("row_tokens"),
        told.get("tokens_a_step"),
        told.get("tokens_per_second"),
        training.get("peak_memory_bytes"),
        _probe(told.get("probe")),
    )


def _probe(told: dict[str, Any] | None) -> Probe | None:
    if not told:
        return None
    speeds = tuple((int(tokens), float(speed)) for tokens, speed in told["speeds"])
    return Probe(int(told["trials"]), speeds, int(told["resident_bytes"]), float(told["bytes_per_token"]))


def _lane(what: dict[str, Any]) -> tuple[int, tuple[str, ...], str] | None:
    lora = what.get("lora")
    return (int(lora["r"]), tuple(lora["target_modules"]), str(what["optim"]["name"])) if lora else None


def _base(what: dict[str, Any]) -> str:
    """The same for trials whose base model is computed in the same way, so that a step of one is as fast as a step of another."""
    method, model = what["method"], what["model"]
    return files.digest(
        [model["digest"], method["quantisation"], method.get("double_quantisation"), model.get("dtype"), model.get("attention")]
    )


def _names(what: dict[str, Any]) -> dict[str, str]:
    return {
        "model": str(what["model"]["digest"]),
        "method": str(what["method"]["name"]),
        "quantisation": str(what["method"]["quantisation"]),
        "data": files.digest([what["data_id"], what.get("mix"), what.get("train", {}).get("max_length")]),
    }


def _count(config: Config, data_id: str) -> int | None:
    from persona_exp.trial.data import training_examples

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
