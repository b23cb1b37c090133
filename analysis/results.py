"""What became of a sweep: one outcome for each evaluation that it asked for, whether it is there or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.replies import Replies, read_replies
from analysis.values import shown
from persona_exp.errors import UserError
from persona_exp.files import canonical_json
from persona_exp.trial.reader import Evaluation, Sweep, SweepTrial, Trial, has_trial, read_hold, read_sweep, read_trial

# Settings that cannot change a figure, or that the condition itself sets.
NOT_COMPARED = ("batch_size", "system_prompt")

# Swept keys, and what begins with them, that change the text that is trained and tested on.
TEXT_GROUPS = ("data", "corpus", "persona", "experiment")

# What each attempt records of its surroundings.
RECORDED = {
    "hardware": "hardware",
    "threads": "numbers of threads",
    "versions": "library versions",
    "micro_batch_size": "micro-batches",
}

# What an evaluation counts that a reader of its figures has to know.
COUNTED = {
    "cut_replies": ("scored_items", "scored replies were cut to evaluation.max_length"),
    "shortened_prompts": ("scored_items", "prompts of scored replies were shortened to evaluation.max_length"),
    "wordless_replies": ("spoken_items", "generated replies hold no word"),
}


@dataclass(frozen=True)
class Outcome:
    """One evaluation that a sweep asked of a trial, and what became of it.

    `status` is `evaluated` where it is there, `held` where its sweep is; `settings` (the split among them), `metrics`, `counts` and
    `replies` are empty where it is not; `traceback` is what it failed with; `stops_early` where the validation split chose the adapter.
    `overrides` are the swept keys without `seed`; `base_model` is the identity of the base model as canonical JSON.
    """

    trial_id: str
    condition: str
    overrides: dict[str, Any]
    seed: int | None
    base_model: str
    quantisation: str
    data_id: str | None
    status: str
    cause: str | None
    message: str | None
    settings: dict[str, Any]
    metrics: dict[str, float]
    counts: dict[str, int]
    replies: Replies
    traceback: str | None = None
    stops_early: bool = False

    @property
    def evaluated(self) -> bool:
        return self.status == "evaluated"

    @property
    def measured(self) -> str:
        """Equal where the same text was measured in the same way: figures per byte compare."""
        return canonical_json([self.data_id, self.settings])

    @property
    def ground(self) -> tuple[str, str]:
        """Equal where figures per token compare as well."""
        return self.base_model, self.measured

    @property
    def reason(self) -> str:
        """`failed (out_of_memory)`, for a table cell."""
        return f"{self.status} ({self.cause})" if self.cause else self.status


@dataclass(frozen=True)
class Results:
    """A sweep's outcomes as it lists them, the evaluation settings that all share, and the logged steps by trial."""

    sweep: Sweep
    outcomes: list[Outcome]
    settings: dict[str, Any]
    logs: dict[str, list[dict[str, Any]]]
    notes: list[str]


def load(runs: Path, name: str) -> Results:
    """Read sweep `name` under `runs`.

    UserError where its evaluations cannot stand in one table: another split, other settings or other data though none is swept.
    """
    sweep = read_sweep(runs, name)
    if not sweep.trials:
        raise UserError(f"Sweep {name} lists no trials; remove it and run its command again: {sweep.command}")
    ids = list(dict.fromkeys(entry.trial_id for entry in sweep.trials))
    trials = {trial_id: read_trial(runs, trial_id) for trial_id in ids if has_trial(runs, trial_id)}
    hold = read_hold(runs, name)
    outcomes = [
        _outcome(entry, trials.get(entry.trial_id), condition, eval_id, hold)
        for entry in sweep.trials
        for condition, eval_id in entry.evaluations.items()
    ]
    if not outcomes:
        raise UserError(f"Sweep {name} was a rehearsal (engine=noop) and measured nothing: run its command without engine=noop.")
    done = [one for one in outcomes if one.evaluated]
    settings = _shared_settings(done, sweep.swept)
    _refuse_mixed_data(done, sweep.swept)
    logs = {trial_id: trial.log for trial_id, trial in trials.items() if trial.log}
    notes = [*_counted(done), *_unlike([trials[trial_id] for trial_id in {one.trial_id: None for one in done}])]
    return Results(sweep, outcomes, settings, logs, notes)


def setting_keys(sweep: Sweep) -> list[str]:
    """Swept keys that tell settings apart. Trials that differ in `seed` alone are repetitions of one setting."""
    return [key for key in sweep.swept if key != "seed"]


def _outcome(entry: SweepTrial, trial: Trial | None, condition: str, eval_id: str, hold: Mapping[str, Any] | None) -> Outcome:
    config: Mapping[str, Any] = {} if trial is None else trial.config
    provenance: Mapping[str, Any] = {} if trial is None else trial.provenance
    evaluation = next((one for one in trial.evaluations if one.eval_id == eval_id), None) if trial is not None else None
    status, cause, message = _state(trial, evaluation, hold)
    settings = {} if evaluation is None else {"split": evaluation.split, **evaluation.settings}
    return Outcome(
        trial_id=entry.trial_id,
        condition=condition,
        overrides={key: value for key, value in entry.overrides.items() if key != "seed"},
        # A base model is not trained, so no seed reaches it.
        seed=None if entry.role == "base" else entry.overrides.get("seed", config.get("seed")),
        base_model=canonical_json((provenance.get("identity") or {}).get("model")),
        quantisation=str((config.get("method") or {}).get("quantisation", "none")),
        data_id=provenance.get("data_id"),
        status=status,
        cause=cause,
        message=message,
        settings={key: value for key, value in settings.items() if key not in NOT_COMPARED},
        metrics={} if evaluation is None else {name: metric["value"] for name, metric in evaluation.metrics.items()},
        counts={} if evaluation is None else evaluation.counts,
        replies=Replies() if evaluation is None else read_replies(evaluation),
        traceback=trial.traceback if trial is not None and status == "failed" else None,
        stops_early=entry.role != "base" and (config.get("train") or {}).get("early_stopping_patience") is not None,
    )


def _state(trial: Trial | None, evaluation: Evaluation | None, hold: Mapping[str, Any] | None) -> tuple[str, str | None, str | None]:
    if trial is None:
        return "missing", None, "it was never sealed"
    # An evaluation is published whole. What came after it, a kill before the last word say, takes nothing from it.
    if evaluation is not None:
        return "evaluated", None, None
    if hold is not None and trial.status in ("sealed", "interrupted"):
        return "held", hold.get("cause"), f"the sweep is held: {hold.get('message')}"
    if trial.status == "finished":
        return "not evaluated", None, "it finished, but this evaluation is not there; run the sweep's command again"
    if trial.status == "sealed":
        return "sealed", None, trial.message or f"it has not been run yet; `persona-exp why {trial.trial_id}` says why"
    return trial.status, trial.cause, trial.message


def _shared_settings(done: Sequence[Outcome], swept: Sequence[str]) -> dict[str, Any]:
    """The settings that all evaluations share; UserError where one differs that is not swept."""
    values: dict[str, dict[str, Any]] = {}
    for key in dict.fromkeys(key for one in done for key in one.settings):
        values[key] = {canonical_json(one.settings.get(key)): one.settings.get(key) for one in done}
    if "evaluation" not in swept:
        apart = {key: found for key, found in values.items() if len(found) > 1 and f"evaluation.{key}" not in swept}
        if apart:
            listed = "; ".join(f"{key} is {' or '.join(map(shown, found.values()))}" for key, found in apart.items())
            raise UserError(f"These trials were evaluated differently ({listed}) and share no table; give each its own sweep.")
    return {key: next(iter(found.values())) for key, found in values.items() if len(found) == 1}


def _refuse_mixed_data(done: Sequence[Outcome], swept: Sequence[str]) -> None:
    found = list(dict.fromkeys(str(one.data_id) for one in done))
    if len(found) > 1 and not any(key.split(".")[0] in TEXT_GROUPS for key in swept):
        raise UserError(f"These trials were evaluated on different data ({', '.join(found)}) and share no table; give each its own sweep.")


def _counted(done: Sequence[Outcome]) -> list[str]:
    """What the evaluations counted, by the one that has most of it."""
    notes = []
    for key, (total, what) in COUNTED.items():
        most = max((one.counts for one in done), key=lambda counts: counts.get(key, 0), default={})
        if most.get(key):
            notes.append(f"Up to {most[key]} of {most[total]} {what}.")
    return notes


def _unlike(trials: Sequence[Trial]) -> list[str]:
    """What differed between the machines that the trials ran on: equal bits are promised only where none of this does."""
    notes = []
    for key, what in RECORDED.items():
        values = {canonical_json(trial.attempts[-1][key]) for trial in trials if trial.attempts and key in trial.attempts[-1]}
        if len(values) > 1:
            notes.append(f"Trials ran with {len(values)} different {what}; each trial's attempts record them.")
    return notes
