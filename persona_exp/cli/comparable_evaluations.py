"""The evaluations of two trials or two sweeps side by side, with a difference only where both were made alike."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from persona_exp.atomic_files import canonical_json
from persona_exp.cli.listed_evaluations import ListedEvaluation, evaluation_names, settings_text
from persona_exp.trial.comparability import differences, distinguishing
from persona_exp.trial.recorded_sweep import SweepTrial

# Units that are the same for whatever model, so that another number of them is another text, or another cut into tokens.
SCORED = ("tokens", "bytes", "items")


@dataclass(frozen=True)
class EvaluationPair:
    """An evaluation of A and its counterpart of B under one name; `why` says why they do not compare, empty where they do."""

    name: str
    a: ListedEvaluation | None
    b: ListedEvaluation | None
    why: str = ""

    @property
    def results(self) -> dict[str, dict[str, float | None]]:
        """The value of A, of B and B − A by `name: metric`; the latter None where they do not compare."""
        sides = [dict[str, Any]() if one is None else one.evaluation.metrics for one in (self.a, self.b)]
        return {f"{self.name}: {metric}": self._result(*(side.get(metric) for side in sides)) for metric in {**sides[0], **sides[1]}}

    def _result(self, a: dict[str, Any] | None, b: dict[str, Any] | None) -> dict[str, float | None]:
        values: dict[str, Any] = {side: None if metric is None else metric["value"] for side, metric in (("a", a), ("b", b))}
        compare = a is not None and b is not None and not self.why and not _other_count(a, b)
        return {**values, "difference": values["b"] - values["a"] if compare else None}

    @property
    def other_counts(self) -> list[str]:
        """The metrics of a pair that compares which are over another number of tokens, bytes or items all the same."""
        if self.why or self.a is None or self.b is None:
            return []
        one, other = self.a.evaluation.metrics, self.b.evaluation.metrics
        return [name for name in one if name in other and _other_count(one[name], other[name])]


def pairs_of_trials(a: Sequence[ListedEvaluation], b: Sequence[ListedEvaluation]) -> list[EvaluationPair]:
    """Pair the evaluations of two trials of one condition, split and protocol; one without a counterpart is alone."""
    first, second = dict(zip(evaluation_names(a, b), a, strict=True)), dict(zip(evaluation_names(b, a), b, strict=True))
    return [
        EvaluationPair(name, first.get(name), second.get(name), _why_not(first.get(name), second.get(name))) for name in {**first, **second}
    ]


def pairs_of_sweeps(
    entries: Sequence[tuple[SweepTrial | None, SweepTrial | None]], a: Sequence[ListedEvaluation], b: Sequence[ListedEvaluation]
) -> list[EvaluationPair]:
    """Pair the evaluations that two sweeps asked of each of `entries`, as far as they are there."""
    first, second = _by_entry(a), _by_entry(b)
    found = []
    for one, other in entries:
        name = " / ".join(dict.fromkeys(entry.title for entry in (one, other) if entry is not None))
        of_a, of_b = first.get(one.title, {}) if one else {}, second.get(other.title, {}) if other else {}
        for condition in {**of_a, **of_b}:
            pair = of_a.get(condition), of_b.get(condition)
            splits = " / ".join(dict.fromkeys(measured.evaluation.split for measured in pair if measured is not None))
            found.append(EvaluationPair(f"{name}: {condition}, {splits}", *pair, _why_not(*pair)))
    return found


def matched_trials(a: Sequence[SweepTrial], b: Sequence[SweepTrial]) -> list[tuple[SweepTrial | None, SweepTrial | None]]:
    """Return the trials of two sweeps, each with its counterpart: itself where it is in both, else the one of the same title."""
    keys: tuple[Callable[[SweepTrial], object], ...] = (
        lambda one: (one.trial_id, *sorted(one.evaluations.items())),
        lambda one: (one.trial_id, one.title),
        lambda one: one.trial_id,
        lambda one: one.title,
    )
    partner: dict[int, int] = {}
    taken: set[int] = set()
    for key in keys:
        free: dict[object, list[int]] = {}
        for place, one in enumerate(b):
            if place not in taken:
                free.setdefault(key(one), []).append(place)
        for place, one in enumerate(a):
            if place not in partner and free.get(key(one)):
                partner[place] = free[key(one)].pop(0)
                taken.add(partner[place])
    found: list[tuple[SweepTrial | None, SweepTrial | None]] = [
        (one, b[partner[place]] if place in partner else None) for place, one in enumerate(a)
    ]
    return found + [(None, one) for place, one in enumerate(b) if place not in taken]


def _by_entry(measured: Sequence[ListedEvaluation]) -> dict[str, dict[str, ListedEvaluation]]:
    """Return evaluations by the title of their trial and by condition."""
    found: dict[str, dict[str, ListedEvaluation]] = {}
    for one in measured:
        found.setdefault(one.title, {})[one.evaluation.condition] = one
    return found


def _why_not(a: ListedEvaluation | None, b: ListedEvaluation | None) -> str:
    """Return why two evaluations do not compare; empty where they do, or where there is one alone."""
    if a is None or b is None:
        return ""
    if a.basis.training_version != b.basis.training_version:
        return f"trained by training version {a.basis.training_version} and {b.basis.training_version}"
    # Between adapters, the base model and its precision are what a sweep may ask about.
    if a.evaluation.condition != "adapter" and a.basis.base != b.basis.base:
        return _other_base(a, b)
    one, other = differences([a.evaluation.protocol, b.evaluation.protocol])
    if one:
        return f"measured differently: {settings_text(one)} in A, {settings_text(other)} in B"
    return "" if canonical_json(a.text) == canonical_json(b.text) else "measured on other data"


def _other_base(a: ListedEvaluation, b: ListedEvaluation) -> str:
    """Return in what two base models differ."""
    words = [{key: word for key, word in one.basis.words().items() if key != "data"} for one in (a, b)]
    one, other = (text or "not recorded" for text in distinguishing(words))
    return f"another base model or precision: {one} in A, {other} in B"


def _other_count(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.get("unit") in SCORED and (a.get("n"), a.get("unit")) != (b.get("n"), b.get("unit"))
