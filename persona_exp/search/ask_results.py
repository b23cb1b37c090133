"""What became of an ask, read off the files of its trials: nobody writes it down anywhere else."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from persona_exp.damaged_records import Damaged, parsed_json, record_bytes
from persona_exp.search.ask_files import Ask, AskedTrial
from persona_exp.search.study_settings import COSTS
from persona_exp.trial.attempt_records import DAMAGED, PRUNED, attempt_files, ended_by_search, read_record
from persona_exp.trial.lost_attempts import attempts_lost
from persona_exp.trial.record_files import read_jsonl
from persona_exp.trial.trial_directory import TrialDirectory, trial_directory
from persona_exp.trial.trial_status import read_status, stopped_as

GIB = 1 << 30
VALIDATIONS = "validation.jsonl"

State = Literal["open", "running", "paused", "complete", "pruned", "failed", "refused", "damaged"]
# Nothing of an ask in such a state changes by its own search.
SETTLED: frozenset[State] = frozenset({"complete", "refused", "pruned"})


@dataclass(frozen=True)
class AskResult:
    """`values` are the objectives, of a complete ask alone, and `others` what else was measured of it, by name; `losses` the validation
    losses by optimiser step; `why` of a failed or damaged one, and of a complete one what is damaged beside its evaluation. Of a damaged
    one nobody knows what came of it, which is no failure."""

    state: State
    values: tuple[float, ...] | None = None
    others: dict[str, float] = field(default_factory=dict)
    losses: dict[int, float] = field(default_factory=dict)
    constraints: dict[str, float] = field(default_factory=dict)
    why: str | None = None


def read_result(runs: Path, search: str, ask: Ask, measures: Sequence[str], *, losses: bool, others: Sequence[str] = ()) -> AskResult:
    """Return what became of `ask` in the search of that name: the means over its trials of `measures`, and with `losses` those too.

    An ask without one of `measures` has failed; of `others` there is what was measured.

    Raise UserError where a trial's file is damaged.
    """
    if ask.refused:
        return AskResult("refused", constraints=ask.constraints, why=ask.refused)
    each = [_trial_result(trial_directory(runs, one.trial_id), search, one, (measures, others), losses) for one in ask.trials]
    curve = _mean_losses([one.losses for one in each])
    states = [one.state for one in each]
    for state in ("damaged", "failed", "pruned"):
        if state in states:
            return AskResult(state, losses=curve, why=next(one.why for one in each if one.state == state))
    if all(state == "complete" for state in states):
        values = tuple(sum(one.values[place] for one in each if one.values) / len(each) for place in range(len(measures)))
        known = [name for name in others if all(name in one.others for one in each)]
        measured = {name: sum(one.others[name] for one in each) / len(each) for name in known}
        return AskResult("complete", values, measured, curve, why=next((one.why for one in each if one.why), None))
    state = next(one for one in ("running", "open", "paused") if one in states)
    return AskResult(state, losses=curve)


def trial_losses(directory: TrialDirectory) -> dict[int, float]:
    """Return the validation losses of a trial by optimiser step, of all its attempts. Raise Damaged where a file of them cannot be read.

    A last line that a crash cut short is left out.
    """
    files = [path.with_suffix("") / VALIDATIONS for path in attempt_files(directory.path)]
    found: dict[int, float] = {}
    for file in (one for one in files if one.is_file()):
        try:
            # JSON has no word for what is not finite.
            losses = {int(one["step"]): math.inf if (loss := one["eval_loss"]) is None else float(loss) for one in read_jsonl(file)}
        except (ValueError, KeyError, TypeError, OverflowError):
            raise Damaged(f"{file} has a line without step or loss; remove the file and give the search's command again.") from None
        found |= losses
    return dict(sorted(found.items()))


def readable_losses(directory: TrialDirectory) -> tuple[dict[int, float], str | None]:
    """Return the validation losses of a trial by optimiser step, or none of them and the sentence that says which file is damaged."""
    try:
        return trial_losses(directory), None
    except Damaged as error:
        return {}, str(error)


def _trial_result(
    directory: TrialDirectory, search: str, asked: AskedTrial, wanted: tuple[Sequence[str], Sequence[str]], losses: bool
) -> AskResult:
    measures, others = wanted
    curve, damage = readable_losses(directory) if losses else ({}, None)
    metrics, costly = _metrics(directory, asked), bool({*measures, *others} & set(COSTS))
    if metrics is not None and costly and read_status(directory.path).status == "running":
        # What it took is written with its last word.
        return AskResult("running", losses=curve)
    if metrics is not None:
        costs = _costs(directory) if costly else {}
        found = {**{name: value for name, value in costs.items() if value is not None}, **metrics}
        missing = [name for name in measures if name not in found]
        if missing:
            return AskResult("failed", losses=curve, why=f"its evaluation has no {missing[0]}")
        measured = {name: found[name] for name in others if name in found}
        # What it is worth is in its evaluation; of its losses pruners alone ask, which are done with it.
        return AskResult("complete", tuple(found[name] for name in measures), measured, curve, why=damage)
    if damage:
        raise Damaged(damage)
    state, why = _state(directory, search, asked)
    return AskResult(state, losses=curve, why=why)


def _state(directory: TrialDirectory, search: str, asked: AskedTrial) -> tuple[State, str | None]:
    """Return the state of a trial without its evaluation, and why it failed where it did."""
    files = attempt_files(directory.path)
    if not files and (lost := attempts_lost(directory.path)):
        return "damaged", lost
    if not files:
        return ("failed", "a person cancelled it") if directory.cancelled.exists() else ("open", None)
    record = read_record(files[-1])
    if ended_by_search(record, search) and directory.cancelled.exists():
        return "failed", "a person cancelled it"
    if ended_by_search(record, search):
        return ("pruned", None) if record["cause"] == PRUNED else ("paused", None)
    found = read_status(directory.path)
    if stopped_as(directory.path):
        # By a person, who has had enough of it.
        return "pruned", None
    if found.status == DAMAGED:
        return "damaged", found.message
    if found.status in ("failed", "cancelled"):
        return "failed", f"{found.reason}: {found.message}"
    if found.status == "finished" and asked.eval_id is None:
        # A rehearsal, which measures nothing.
        return "pruned", None
    return ("running" if found.status == "running" else "open"), None


def _metrics(directory: TrialDirectory, asked: AskedTrial) -> dict[str, float] | None:
    if asked.eval_id is None:
        return None
    try:
        written = parsed_json(record_bytes(directory.evaluations / asked.eval_id / "metrics.json"))
        return {name: float(metric["value"]) for name, metric in written["metrics"].items()}
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError):
        folder = directory.evaluations / asked.eval_id
        raise Damaged(f"{folder}/metrics.json is damaged; remove that folder and give the search's command again.") from None


def _costs(directory: TrialDirectory) -> dict[str, float | None]:
    """Return what a trial took, of all its attempts together: its own part where it shared a process.

    The peak of memory is that of a process, and so known only of a trial that shared none.
    """
    found = read_status(directory.path)
    records = [read_record(path) for path in attempt_files(directory.path)]
    alone = not any(one.get("together_with") for one in records)
    peaks = [(one.get("training") or {}).get("peak_memory_bytes") for one in records]
    peak = max((one for one in peaks if one), default=None) if alone else None
    return {
        "seconds": found.own_seconds,
        "gpu_seconds": found.gpu_hours * 3600 if found.gpus else None,
        "peak_memory_gb": peak / GIB if peak else None,
    }


def _mean_losses(curves: Sequence[dict[int, float]]) -> dict[int, float]:
    """Return by step the mean over those trials that have come so far."""
    steps = sorted({step for curve in curves for step in curve})
    present = {step: [curve[step] for curve in curves if step in curve] for step in steps}
    return {step: sum(found) / len(found) for step, found in present.items()}
