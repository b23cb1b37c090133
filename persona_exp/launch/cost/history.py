"""How long earlier trials took, and how long new ones will: seconds a token, and seconds around training."""

import json
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

from persona_exp import files
from persona_exp.config.schema import Config
from persona_exp.errors import UserError
from persona_exp.trial.directory import trial_directory

# 97.5 % quantiles of Student's t for 1 to 30 degrees of freedom.
T_975 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131),
    *(2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
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

    @property
    def trains(self) -> bool:
        return self.method != "none"


@dataclass(frozen=True)
class Record:
    """One finished attempt. `rate` is seconds of training a token (None where nothing was trained), `around` the seconds before and
    after: loading, evaluation, publishing."""

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
    """(low, mean, high) of the seconds that all of `works` take one after the other, and how many records that comes from.

    A trial takes tokens × (seconds a token) + the seconds around training, each the geometric mean of the records of the same model,
    method and quantisation. The interval is Student's 95 % prediction interval for one more run, on the logarithms: all trials of
    the sweep are taken to be as slow, or as fast, as one of them may be, which is wider than if they varied by themselves. None
    where a model and method has no record; no interval where one of them has a single one.
    """
    low, mean, high, used = 0.0, 0.0, 0.0, 0
    bounded = True
    for key in {(work.model, work.method, work.quantisation) for work in works}:
        mine = [work for work in works if (work.model, work.method, work.quantisation) == key]
        own = [one for one in records if (one.model, one.method, one.quantisation) == key]
        # The base model as it is does what surrounds training, and nothing else.
        around = own or [one for one in records if not mine[0].trains and (one.model, one.quantisation) == (key[0], key[2])]
        tokens = [_tokens(work, own) for work in mine] if mine[0].trains else []
        if not around or any(count is None for count in tokens):
            return None
        ranges = [_scaled(_range([one.around for one in around]), len(mine))]
        if mine[0].trains:
            ranges.append(_scaled(_range([one.rate for one in own if one.rate]), math.fsum(count for count in tokens if count)))
        for least, middle, most in ranges:
            bounded = bounded and least is not None
            low, mean, high = low + (least or 0), mean + middle, high + (most or 0)
        used += len(around)
    return ((low, mean, high) if bounded else (None, mean, None)), used


def _tokens(work: Work, records: Sequence[Record]) -> float | None:
    """How many tokens the trial trains on in all; None where no record tells how long an example is."""
    same = [one for one in records if one.data == work.data] or records
    lengths = [one.tokens_an_example for one in same if one.tokens_an_example]
    counts = [one.examples for one in same if one.data == work.data and one.examples]
    examples = counts[0] if counts else work.examples
    if not lengths or (work.steps is None and examples is None):
        return None
    steps = work.steps or math.ceil(work.epochs * math.ceil((examples or 0) / work.examples_a_step))
    return steps * work.examples_a_step * median(lengths)


def _range(values: Sequence[float]) -> Range:
    logs = [math.log(value) for value in values]
    middle, n = fmean(logs), len(logs)
    if n < 2:
        return None, math.exp(middle), None
    quantile = T_975[n - 2] if n - 2 < len(T_975) else 1.96 + 2.4 / (n - 1)
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
    lasted = (datetime.fromisoformat(attempt["ended"]) - datetime.fromisoformat(attempt["started"])).total_seconds()
    # Of a bundle, its part.
    lasted /= 1 + len(attempt.get("together_with") or ())
    rate = length = None
    if names["method"] != "none":
        if not labels or not training or not labels["examples"]:
            return None
        steps = training["steps"] - training["resumed_from_step"]
        length = labels["tokens"] / labels["examples"]
        if steps < 1 or training["seconds"] <= 0:
            return None
        rate = training["seconds"] / (steps * what["optim"]["effective_batch_size"] * length)
        lasted -= training["seconds"]
    return Record(
        **names,
        device=str(hardware.get("gpu") or hardware.get("cpu")),
        is_gpu=bool(hardware.get("gpu")),
        examples=labels["examples"] if labels else None,
        tokens_an_example=length,
        rate=rate,
        around=max(lasted, SHORTEST_SECONDS),
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
