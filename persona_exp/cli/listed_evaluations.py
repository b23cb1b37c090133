"""Evaluations as `show` and `diff` list them: each with its trial, and what tells it from the others."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from persona_exp.trial.comparability import Basis, all_outdated, basis, differences, outdated
from persona_exp.trial.recorded_evaluations import Evaluation, held_out_text, read_evaluations
from persona_exp.trial.recorded_provenance import provenance_if_whole
from persona_exp.trial.recorded_sweep import Sweep, SweepTrial, read_requested_evaluations


@dataclass(frozen=True)
class ListedEvaluation:
    """An evaluation of a trial; `text` is equal where the same held-out text was measured, `title` the trial's in its sweep."""

    evaluation: Evaluation
    basis: Basis
    text: str | None
    title: str = ""

    @property
    def outdated(self) -> str:
        """The older version that made it or its trial; empty where none did."""
        return outdated(self.basis.training_version, self.evaluation.version)


def evaluations_of_trial(runs: Path, trial_id: str) -> list[ListedEvaluation]:
    """Return all evaluations of a trial, whichever sweep asked for them, by condition, split and settings, numbers ascending."""
    rests_on = basis(provenance_if_whole(runs, trial_id))
    found = [ListedEvaluation(one, rests_on, held_out_text(runs, rests_on, one.split)) for one in read_evaluations(runs, trial_id)]
    return sorted(found, key=lambda one: (one.evaluation.place, *_ranks(one.evaluation.protocol), one.evaluation.eval_id))


def evaluations_of_sweep(runs: Path, sweep: Sweep) -> list[list[ListedEvaluation]]:
    """Return for each trial of a sweep the evaluations that the sweep asked for, as far as they are there."""
    return [evaluations_of_entry(runs, entry) for entry in sweep.trials]


def evaluations_of_entry(runs: Path, entry: SweepTrial) -> list[ListedEvaluation]:
    """Return the evaluations that a sweep asked of one of its trials, as far as they are there."""
    rests_on = basis(provenance_if_whole(runs, entry.trial_id))
    asked = read_requested_evaluations(runs, entry).values()
    return [ListedEvaluation(one, rests_on, held_out_text(runs, rests_on, one.split), entry.title) for one in asked]


def outdated_versions(training_version: int | None, measured: Sequence[ListedEvaluation]) -> str:
    """Return the older versions that made a trial and its evaluations; empty where none did."""
    return all_outdated([outdated(training_version, None), *(outdated(None, one.evaluation.version) for one in measured)])


def metric_values(measured: Iterable[Evaluation]) -> dict[str, float]:
    """Return the metrics of evaluations in different places, by `adapter, test: perplexity`."""
    return {key: value for one in measured for key, value in one.figures.items()}


def evaluation_names(measured: Sequence[ListedEvaluation], beside: Sequence[ListedEvaluation] = ()) -> list[str]:
    """Return a name for each evaluation of a trial: `adapter, test`, and the settings in which it differs from others of its place, of
    another trial `beside` it included. No two of `measured` share a name.
    """
    found = []
    for one in measured:
        alike = [other.evaluation.protocol for other in (one, *measured, *beside) if other.evaluation.place == one.evaluation.place]
        found.append(", ".join(filter(None, (one.evaluation.place, settings_text(differences(alike)[0])))))
    return [f"{name}, {one.evaluation.eval_id}" if found.count(name) > 1 else name for name, one in zip(found, measured, strict=True)]


def settings_text(values: Mapping[str, Any]) -> str:
    """Return `likelihood_items=50, evaluation version 1`."""
    return ", ".join(f"evaluation version {value}" if key == "EVALUATION_VERSION" else f"{key}={value}" for key, value in values.items())


def _ranks(values: Mapping[str, Any]) -> list[str]:
    """Return text that sorts as the values do."""
    return [f"{value:012}" if isinstance(value, int) else str(value) for value in values.values()]
