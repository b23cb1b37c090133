"""A sweep's results read from runs/: one outcome for each evaluation that it asked for, whether it is there or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analysis.scored_replies import ScoredReplies, read_replies
from analysis.swept_values import value_text
from analysis.training_cost import Training, training_of
from persona_exp.atomic_files import canonical_json
from persona_exp.damaged_records import Damaged
from persona_exp.errors import UserError
from persona_exp.trial.comparability import Basis, basis, outdated
from persona_exp.trial.recorded_evaluations import Evaluation, damaged_evaluations
from persona_exp.trial.recorded_hold import read_hold
from persona_exp.trial.recorded_sweep import Sweep, SweepTrial, read_sweep
from persona_exp.trial.runs_reader import Trial, has_trial, read_trial

# Swept keys, and what begins with them, that change the text that is trained and tested on.
TEXT_GROUPS = ("data", "corpus", "persona", "experiment")

# Settings that follow from the machine and the base model's dtype, whatever a sweep asks for: rows say them, and are paired within one.
DERIVED = ("precision",)

# What conf/model says of a model for comparisons of models.
MODEL_FACTS = ("family", "parameters_b", "tuned")

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
    "shortened_answered_prompts": ("spoken_items", "prompts of generated replies were shortened to evaluation.max_length"),
    "wordless_replies": ("spoken_items", "generated replies hold no word"),
}
# What it leaves out, beside what it has.
LEFT_OUT = {"skipped_items": "replies", "skipped_prompts": "prompts"}


@dataclass(frozen=True)
class Outcome:
    """One evaluation that a sweep asked of a trial.

    `status` is `evaluated` where it is there, `held` where its sweep is; `settings` (the split among them), `metrics`, `counts` and
    `replies` are empty where it is not; `traceback` is what it failed with; `stops_early` where the validation split chose the adapter.
    `overrides` are the swept keys without `seed`; `basis` is base model, precision, data and training version, `model_name` the base
    model's in conf/, `model_facts` its family, size and tuning, as far as conf/ says; `training` is what it took, None of a base model.
    """

    trial_id: str
    condition: str
    overrides: dict[str, Any]
    seed: int | None
    basis: Basis
    model_name: str | None
    status: str
    cause: str | None
    message: str | None
    settings: dict[str, Any]
    metrics: dict[str, float]
    counts: dict[str, int]
    replies: ScoredReplies
    traceback: str | None = None
    stops_early: bool = False
    model_facts: dict[str, Any] = field(default_factory=dict)
    training: Training | None = None

    @property
    def evaluated(self) -> bool:
        return self.status == "evaluated"

    @property
    def data_id(self) -> str | None:
        return self.basis.data_id

    @property
    def versions(self) -> tuple[int, int]:
        """Of training and of evaluation, 0 where there is none."""
        return self.basis.training_version or 0, int(self.settings.get("EVALUATION_VERSION") or 0)

    @property
    def precision(self) -> str | None:
        """What the evaluation was computed in; None where there is none, or where it does not say."""
        return self.settings.get("precision")

    @property
    def outdated(self) -> str:
        """`training version 2, now 3` where an older version made it; empty where none did."""
        return outdated(*(version or None for version in self.versions))

    @property
    def measured(self) -> str:
        """Equal where the same text was measured in the same way: figures per byte compare."""
        return canonical_json([self.data_id, self.settings])

    @property
    def unit(self) -> tuple[str, str]:
        """Equal where figures per token compare as well."""
        return canonical_json(self.basis.model), self.measured

    @property
    def ground(self) -> tuple[str, str]:
        """Equal where nothing but the adapter differs: only on its own ground is an adapter compared with a base model."""
        return self.basis.ground, self.measured

    @property
    def words(self) -> dict[str, str]:
        """What it rests on and how it was measured, each part as a person would name it."""
        measured = {key: f"{key}={value_text(value)}" for key, value in self.settings.items()}
        measured |= {"EVALUATION_VERSION": f"evaluation version {self.versions[1]}"} if "EVALUATION_VERSION" in measured else {}
        measured |= {"precision": f"evaluated in {self.precision}"} if self.precision else {}
        return {**self.basis.words(self.model_name), **measured}

    @property
    def reason(self) -> str:
        """`failed (out_of_memory)`, for a table cell."""
        return f"{self.status} ({self.cause})" if self.cause else self.status


@dataclass(frozen=True)
class Results:
    """A sweep's outcomes as it lists them, the evaluation settings that all share, the logged steps by trial; `tuning` is what the caption
    says of tuned settings, and `chosen` whether the outcomes are those at the chosen values alone."""

    sweep: Sweep
    outcomes: list[Outcome]
    settings: dict[str, Any]
    logs: dict[str, list[dict[str, Any]]]
    notes: list[str]
    tuning: tuple[str, ...] = ()
    chosen: bool = False


def read_results(runs: Path, name: str) -> Results:
    """Return the results of sweep `name` under `runs`.

    Raise UserError where its evaluations share no table: another split, other settings or other data though none is swept.
    """
    return results_of(runs, read_sweep(runs, name), read_hold(runs, name))


def results_of(runs: Path, sweep: Sweep, hold: Mapping[str, Any] | None = None) -> Results:
    """Return the results of what `sweep` lists, whether that is a sweep on disk or not; raise UserError as `read_results` does."""
    name = sweep.name
    if not sweep.trials:
        raise UserError(f"Sweep {name} lists no trials; remove it and run its command again: {sweep.command}")
    ids = list(dict.fromkeys(entry.trial_id for entry in sweep.trials))
    trials, damaged = _trials(runs, [trial_id for trial_id in ids if has_trial(runs, trial_id)])
    outcomes = [
        _outcome(entry, trials.get(entry.trial_id), condition, eval_id, hold, damaged.get(entry.trial_id, ()))
        for entry in sweep.trials
        for condition, eval_id in entry.evaluations.items()
    ]
    if not outcomes:
        raise UserError(f"Sweep {name} was a rehearsal (engine=noop) and measured nothing: run its command without engine=noop.")
    done = [one for one in outcomes if one.evaluated]
    settings = _shared_settings(done, sweep.swept)
    _refuse_mixed_data(done, sweep.swept)
    logs = {trial_id: trial.log for trial_id, trial in trials.items() if trial.log}
    notes = [*_count_notes([one.counts for one in done]), *_machine_notes([trials[one] for one in {one.trial_id: None for one in done}])]
    return Results(sweep, outcomes, settings, logs, notes)


def _trials(runs: Path, ids: Sequence[str]) -> tuple[dict[str, Trial], dict[str, list[str]]]:
    """Return the trials that can be read, and of each what of it cannot, a sentence a file."""
    trials: dict[str, Trial] = {}
    damaged: dict[str, list[str]] = {}
    for trial_id in ids:
        try:
            trials[trial_id] = read_trial(runs, trial_id)
            damaged[trial_id] = damaged_evaluations(runs, trial_id)
        except Damaged as error:
            damaged[trial_id] = [str(error)]
    return trials, damaged


def setting_keys(sweep: Sweep) -> list[str]:
    """Return the swept keys that distinguish settings. Trials that differ in `seed` alone are repetitions of one setting."""
    return [key for key in sweep.swept if key != "seed"]


def _outcome(
    entry: SweepTrial, trial: Trial | None, condition: str, eval_id: str, hold: Mapping[str, Any] | None, damaged: Sequence[str]
) -> Outcome:
    config: Mapping[str, Any] = {} if trial is None else trial.config
    evaluation = next((one for one in trial.evaluations if one.eval_id == eval_id), None) if trial is not None else None
    status, cause, message = _state(trial, evaluation, hold)
    # Of a trial that can be read, the evaluation that is asked for; of another, all.
    own = [sentence for sentence in damaged if trial is None or f"/{eval_id}/" in sentence]
    if evaluation is None and own:
        status, cause, message = "damaged", None, own[0]
    return Outcome(
        trial_id=entry.trial_id,
        condition=condition,
        overrides={key: value for key, value in entry.overrides.items() if key != "seed"},
        # A base model is not trained, so no seed reaches it.
        seed=None if entry.role == "base" else entry.overrides.get("seed", config.get("seed")),
        basis=basis({} if trial is None else trial.provenance),
        model_name=(config.get("model") or {}).get("name"),
        status=status,
        cause=cause,
        message=message,
        settings={} if evaluation is None else evaluation.protocol,
        metrics={} if evaluation is None else {name: metric["value"] for name, metric in evaluation.metrics.items()},
        counts={} if evaluation is None else evaluation.counts,
        replies=ScoredReplies() if evaluation is None else read_replies(evaluation),
        traceback=trial.traceback if trial is not None and status == "failed" else None,
        model_facts={key: (config.get("model") or {}).get(key) for key in MODEL_FACTS},
        training=None if trial is None or entry.role == "base" else training_of(trial),
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
    """Return the settings that all evaluations share. Raise UserError where some of one version differ in one neither swept nor derived.

    What another version made is not compared, and may be described otherwise.
    """
    for version in {one.versions[1] for one in done} if "evaluation" not in swept else ():
        values = _values([one for one in done if one.versions[1] == version])
        free = (*DERIVED, *(key.removeprefix("evaluation.") for key in swept if key.startswith("evaluation.")))
        apart = {key: found for key, found in values.items() if len(found) > 1 and key not in free}
        if apart:
            listed = "; ".join(f"{key} is {' or '.join(map(value_text, found.values()))}" for key, found in apart.items())
            raise UserError(f"These trials were evaluated differently ({listed}) and share no table; give each its own sweep.")
    return {key: next(iter(found.values())) for key, found in _values(done).items() if len(found) == 1}


def _values(done: Sequence[Outcome]) -> dict[str, dict[str, Any]]:
    """Return the values that evaluations have of each setting, by their JSON."""
    keys = dict.fromkeys(key for one in done for key in one.settings)
    return {key: {canonical_json(one.settings.get(key)): one.settings.get(key) for one in done} for key in keys}


def _refuse_mixed_data(done: Sequence[Outcome], swept: Sequence[str]) -> None:
    found = list(dict.fromkeys(str(one.data_id) for one in done))
    if len(found) > 1 and not any(key.split(".")[0] in TEXT_GROUPS for key in swept):
        raise UserError(f"These trials were evaluated on different data ({', '.join(found)}) and share no table; give each its own sweep.")


def _count_notes(counts: Sequence[Mapping[str, int]]) -> list[str]:
    """Return what evaluations counted, each by the one that has most of it."""
    left_out = {what: max((one.get(key, 0) for one in counts), default=0) for key, what in LEFT_OUT.items()}
    notes = [f"Up to {n} more {what} did not fit into evaluation.max_length and are left out." for what, n in left_out.items() if n]
    for key, (total, what) in COUNTED.items():
        most = max(counts, key=lambda one: one.get(key, 0), default={})
        if most.get(key):
            notes.append(f"Up to {most[key]} of {most[total]} {what}.")
    return notes


def _machine_notes(trials: Sequence[Trial]) -> list[str]:
    """Return what differed between the machines that the trials ran on: equal bits are promised only where none of this does."""
    notes = []
    for key, what in RECORDED.items():
        values = {canonical_json(trial.attempts[-1][key]) for trial in trials if trial.attempts and key in trial.attempts[-1]}
        if len(values) > 1:
            notes.append(f"Trials ran with {len(values)} different {what}; each trial's attempts record them.")
    return notes
