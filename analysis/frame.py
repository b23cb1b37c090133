"""A sweep as a tidy frame: one row for each evaluation that each of its trials owes, whether it is there or not."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.errors import UserError
from persona_exp.files import canonical_json
from persona_exp.trial.reader import Evaluation, Sweep, SweepTrial, Trial, has_trial, read_sweep, read_trial

if TYPE_CHECKING:
    import pandas as pd

CONDITIONS = {"base": ("base", "base+system"), "adapter": ("adapter",)}

# Settings that cannot change a figure, that the condition itself sets, or that count what came out.
NO_SETTINGS = frozenset({"batch_size", "system_prompt", "shortened_prompts", "cut_replies", "available_items"})

# Settings that a text with few replies lowers: no more can be scored than there are.
CAPPED = frozenset({"likelihood_items", "generated_items"})

# Parts of a model's config that do not reach the base model's own figures.
NO_BASE = frozenset({"micro_batch_size", "target_modules"})

# Swept keys that change the text itself. What draws from that text (mix, size, seed) leaves the held-out items as they are.
TEXT_GROUPS = frozenset({"data", "corpus", "persona"})
DRAWING = ("data.mix", "data.size", "data.seed")

# What each attempt records of its surroundings.
RECORDED = {
    "hardware": "hardware",
    "threads": "numbers of threads",
    "versions": "library versions",
    "micro_batch_size": "micro-batches",
}

# The figures in metrics.json come from floats summed in another order.
AGREEMENT = 1e-4


@dataclass(frozen=True)
class Results:
    """A sweep's outcome.

    `frame`: trial_id, role, condition, status, cause, message, seed, base_model, quantisation, text (data_id as sealed), the
    swept keys, split, data_id, eval_id, generated, then one column a metric. `status` is `evaluated` where there are figures.
    `items` holds, by the frame's index, the scored replies (example, nats, tokens, correct, bytes) sorted by example; `logs` the
    logged steps by trial.
    """

    sweep: Sweep
    frame: pd.DataFrame
    items: dict[int, pd.DataFrame]
    logs: dict[str, pd.DataFrame]
    settings: dict[str, Any]
    notes: list[str]


def load(runs: Path, name: str, wanted: Mapping[str, Any]) -> Results:
    """Read sweep `name`. `wanted` (setting → value, `split` among them) chooses where trials were evaluated in several ways.

    UserError where the evaluations cannot stand in one table: another split, other settings, other data though none is swept.
    """
    import pandas as pd

    sweep = read_sweep(runs, name)
    if not sweep.trials:
        raise UserError(f"Sweep {name} lists no trials; run its command again: {sweep.command}")
    ids = list(dict.fromkeys(entry.trial_id for entry in sweep.trials))
    trials = {trial_id: read_trial(runs, trial_id) for trial_id in ids if has_trial(runs, trial_id)}
    slots = [(entry, condition) for entry in sweep.trials for condition in _conditions(entry)]
    chosen, settings = _choose(slots, trials, {**sweep.evaluation, **wanted}, sweep.swept)
    unknown = sorted(set(wanted) - set(settings)) if chosen else []
    if unknown:
        raise UserError(f"No evaluation has a setting {', '.join(unknown)}; --evaluation takes {', '.join(sorted(settings))}.")
    records, items = [], {}
    for index, (entry, condition) in enumerate(slots):
        evaluation = chosen.get(index)
        records.append(_record(entry, condition, trials.get(entry.trial_id), evaluation, sweep.swept))
        if evaluation is not None:
            items[index] = _items(evaluation)
    logs = {trial_id: pd.DataFrame(trials[trial_id].log) for trial_id in ids if trial_id in trials and trials[trial_id].log}
    evaluated = [trials[slots[index][0].trial_id] for index in chosen]
    notes = [*_cut(list(chosen.values())), *_unlike(evaluated)]
    return Results(sweep, pd.DataFrame(records), items, logs, settings, notes)


def setting_keys(sweep: Sweep) -> list[str]:
    """Swept keys that tell settings apart. Trials that differ in `seed` alone are repetitions of one setting."""
    return [key for key in sweep.swept if key != "seed"]


def changes_text(swept: Sequence[str]) -> bool:
    """Whether these swept keys change the text that is trained and tested on."""
    return any(key.split(".")[0] in TEXT_GROUPS and not key.startswith(DRAWING) for key in swept)


def number(value: Any) -> float | None:
    """`value` as a number if it is one or spells one (YAML reads 1e-4 as text), else None. True and False are no numbers."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def shown(value: Any) -> str:
    """A swept value as a person would write it on the command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {shown(part)}" for key, part in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(shown(part) for part in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _conditions(entry: SweepTrial) -> tuple[str, ...]:
    if entry.role not in CONDITIONS:
        raise UserError(f"Trial {entry.trial_id} has the role {entry.role!r}; sweep.yaml knows {' and '.join(CONDITIONS)}.")
    return CONDITIONS[entry.role]


def _choose(
    slots: list[tuple[SweepTrial, str]], trials: Mapping[str, Trial], wanted: Mapping[str, Any], swept: Sequence[str]
) -> tuple[dict[int, Evaluation], dict[str, Any]]:
    """The evaluation of each slot that has one, and the settings they share."""
    candidates: dict[int, list[Evaluation]] = {}
    for index, (entry, condition) in enumerate(slots):
        trial = trials.get(entry.trial_id)
        if trial is None:
            continue
        own = {key.removeprefix("evaluation."): value for key, value in entry.overrides.items() if key.startswith("evaluation.")}
        found = [one for one in trial.evaluations if one.condition == condition and _matches(one, {**wanted, **own})]
        if found:
            candidates[index] = found
    if not candidates:
        return {}, {}
    free = {key.removeprefix("evaluation.") for key in swept if key.startswith("evaluation.")}
    free |= CAPPED if changes_text(swept) else set()
    described = {id(one): _settings(one, free) for found in candidates.values() for one in found}
    covered = Counter(key for found in candidates.values() for key in {canonical_json(described[id(one)]) for one in found})
    complete = [key for key, count in covered.items() if count == len(candidates)]
    if len(complete) != 1:
        raise UserError(_refusal(list({canonical_json(one): one for one in described.values()}.values()), several=bool(complete)))
    chosen: dict[int, Evaluation] = {}
    for index, found in candidates.items():
        # Where several fit, more was asked of one than there are replies: they hold the same figures.
        chosen[index] = next(one for one in found if canonical_json(described[id(one)]) == complete[0])
    _refuse_mixed_data({index: _data_id(one, trials[slots[index][0].trial_id]) for index, one in chosen.items()}, swept)
    first = next(iter(chosen.values()))
    return chosen, described[id(first)]


def _settings(evaluation: Evaluation, free: set[str]) -> dict[str, Any]:
    kept = {key: value for key, value in evaluation.settings.items() if key not in NO_SETTINGS | free | {"data_id"}}
    return kept if "split" in free else {**kept, "split": evaluation.split}


def _matches(evaluation: Evaluation, wanted: Mapping[str, Any]) -> bool:
    settings = {**evaluation.settings, "split": evaluation.split}
    available = number(settings.get("available_items"))
    for key, value in wanted.items():
        if key in NO_SETTINGS or key not in settings:
            continue
        asked = number(value)
        if key in CAPPED and asked is not None and available is not None:
            value = int(min(asked, available))
        # What a person types is text.
        if shown(settings[key]) != shown(value):
            return False
    return True


def _refusal(settings: list[dict[str, Any]], several: bool) -> str:
    keys = sorted({key for one in settings for key in one})
    apart = {key: list(dict.fromkeys(shown(one.get(key)) for one in settings)) for key in keys}
    differing = {key: values for key, values in apart.items() if len(values) > 1}
    listed = "; ".join(f"{key} is {' or '.join(values)}" for key, values in differing.items())
    key, values = next(iter(differing.items()))
    if several:
        return f"These trials were evaluated in several ways ({listed}); add --evaluation {key}={values[0]} to choose one."
    return f"These trials were evaluated differently ({listed}) and cannot stand in one table; run the sweep's command again."


def _refuse_mixed_data(data: Mapping[int, str | None], swept: Sequence[str]) -> None:
    found = list(dict.fromkeys(str(one) for one in data.values()))
    if len(found) > 1 and not changes_text(swept):
        raise UserError(
            f"These trials were evaluated on different data ({', '.join(found)}) and cannot stand in one table; run the sweep's "
            "command again, or sweep the data."
        )


def _data_id(evaluation: Evaluation, trial: Trial) -> str | None:
    found = evaluation.settings.get("data_id") or trial.provenance.get("data_id")
    return str(found) if found else None


def _record(
    entry: SweepTrial, condition: str, trial: Trial | None, evaluation: Evaluation | None, swept: Sequence[str]
) -> dict[str, Any]:
    status, cause, message = _state(trial, evaluation)
    config = trial.config if trial is not None else {}
    identity = (trial.provenance.get("identity") or {}) if trial is not None else {}
    model = identity.get("model") or {key: value for key, value in (config.get("model") or {}).items() if key not in NO_BASE}
    record: dict[str, Any] = {
        "trial_id": entry.trial_id,
        "role": entry.role,
        "condition": condition,
        "status": status,
        "cause": cause,
        "message": message,
        # A base model is not trained, so no seed reaches it.
        "seed": None if entry.role == "base" else entry.overrides.get("seed", config.get("seed")),
        "base_model": canonical_json(model),
        "quantisation": str((config.get("method") or {}).get("quantisation", "none")),
        "text": trial.provenance.get("data_id") if trial is not None else None,
    }
    record.update({key: entry.overrides.get(key) for key in swept if key != "seed"})
    if trial is None or evaluation is None:
        return record
    record.update({"split": evaluation.split, "data_id": _data_id(evaluation, trial), "eval_id": evaluation.eval_id})
    # The period-term figures of the books themselves also have an n; only what the model wrote counts as generated.
    record["generated"] = int(evaluation.metrics.get("rougeL", {}).get("n", 0))
    record.update({name: float(metric["value"]) for name, metric in evaluation.metrics.items()})
    return record


def _state(trial: Trial | None, evaluation: Evaluation | None) -> tuple[str, str | None, str | None]:
    if trial is None:
        return "missing", None, "it was never sealed"
    # An evaluation is published whole. What came after it, a kill before the last word say, takes nothing from it.
    if evaluation is not None:
        return "evaluated", None, None
    if trial.status == "finished":
        return "not evaluated", None, "it finished, but has no evaluation with these settings"
    return trial.status, trial.cause, trial.message


def _items(evaluation: Evaluation) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    if not evaluation.items:
        raise UserError(f"{evaluation.folder} has no scored items; remove that folder and evaluate again.")
    columns = ["example", "nats", "tokens", "correct", "bytes"]
    missing = [column for column in columns if column not in evaluation.items[0]]
    if missing:
        raise UserError(f"{evaluation.folder}/items.jsonl lacks {', '.join(missing)}; remove that folder and evaluate again.")
    items = pd.DataFrame(evaluation.items)[columns].sort_values("example", ignore_index=True)
    if items["example"].duplicated().any():
        raise UserError(f"{evaluation.folder}/items.jsonl scores an example twice; remove that folder and evaluate again.")
    perplexity = float(np.exp(items["nats"].sum() / items["tokens"].sum()))
    stated = evaluation.metrics.get("perplexity", {}).get("value")
    if stated is not None and not math.isclose(perplexity, float(stated), rel_tol=AGREEMENT):
        raise UserError(
            f"{evaluation.folder} states a perplexity of {stated}, but its items give {perplexity:.6g}; remove that folder and "
            "evaluate again."
        )
    return items


def _cut(evaluations: Sequence[Evaluation]) -> list[str]:
    """Which replies or prompts did not fit into the length they were scored at."""
    notes = []
    for key, what in (("cut_replies", "replies were cut"), ("shortened_prompts", "prompts were shortened")):
        most = max((int(one.settings.get(key) or 0) for one in evaluations), default=0)
        if most:
            notes.append(f"Up to {most} {what} to the evaluation's max_length.")
    return notes


def _unlike(trials: Sequence[Trial]) -> list[str]:
    """What differed between the machines that the trials ran on: equal bits are promised only where none of this does."""
    notes = []
    for key, what in RECORDED.items():
        values = {canonical_json(trial.attempts[-1][key]) for trial in trials if trial.attempts and key in trial.attempts[-1]}
        if len(values) > 1:
            notes.append(f"Trials ran with {len(values)} different {what}; each trial's attempts record them.")
    return notes
