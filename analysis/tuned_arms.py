"""Which value of each tuned setting an arm of a sweep is reported with: chosen on the validation split by the tuning seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from analysis.sweep_results import Outcome, Results
from analysis.swept_values import as_number, ordered_values, value_text
from persona_exp.atomic_files import canonical_json
from persona_exp.counted_noun import counted

SPLIT = "evaluation.split"
TUNING_SPLIT = "validation"
MEASURE = "bits_per_byte"


@dataclass(frozen=True)
class TunedArm:
    """One arm of a sweep, `settings` as its swept keys say, with what its tuned settings were `tried` at.

    `tried` are those values all of whose tuning trials have figures, and `chosen` the one with the lowest mean bits/byte; None where there
    is none. `trials` of `planned` tuning trials have figures; they had the seeds `seeds`.
    """

    settings: dict[str, Any]
    tried: list[dict[str, Any]]
    chosen: dict[str, Any] | None
    trials: int
    planned: int
    seeds: list[int]

    @property
    def name(self) -> str:
        """`lora.r=8`, or `the sweep` where nothing is compared."""
        return _text(self.settings) or "the sweep"


def tuned_arms(results: Results) -> list[TunedArm]:
    """Return the arms of a sweep with tuned settings, as it lists them; none where nothing is of the validation split."""
    sweep = results.sweep
    if not sweep.tuned:
        return []
    arms: dict[str, list[Outcome]] = {}
    for one in results.outcomes:
        if one.condition == "adapter" and _split(one) == TUNING_SPLIT:
            arms.setdefault(canonical_json(_settings(one, sweep.arms)), []).append(one)
    return [_tuned(outcomes, sweep.arms, sweep.tuned) for outcomes in arms.values()]


def reported(results: Results) -> Results:
    """Return the results of the reporting seeds at the chosen values, with the base rows of their split, and what the caption says of it.

    All stay where no value was chosen yet, or where the sweep has tuning seeds alone; and all of a sweep without tuned settings.
    """
    sweep, arms = results.sweep, tuned_arms(results)
    results = replace(results, tuning=tuple(tuning_sentences(results, arms)))
    chosen = [canonical_json([arm.settings, arm.chosen]) for arm in arms if arm.chosen is not None]
    reporting = [one for one in results.outcomes if _split(one) != TUNING_SPLIT]
    if not chosen or not any(one.condition == "adapter" for one in reporting):
        return results
    kept = [
        replace(one, overrides={key: value for key, value in one.overrides.items() if key != SPLIT})
        for one in reporting
        if one.condition != "adapter" or canonical_json([_settings(one, sweep.arms), _settings(one, sweep.tuned)]) in chosen
    ]
    return replace(results, sweep=replace(sweep, swept=[key for key in sweep.swept if key != SPLIT]), outcomes=kept, chosen=True)


def tuning_sentences(results: Results, arms: Sequence[TunedArm]) -> list[str]:
    """Return for the caption what was tuned over which values with how many trials, and what of that is not even or not done."""
    sweep = results.sweep
    if not sweep.tuned:
        return []
    tuned = " and ".join(sweep.tuned)
    if not arms:
        return [f"{tuned} was to be tuned, but no trial is of the {TUNING_SPLIT} split: all rows are shown, and none was chosen."]
    each = " and ".join(sweep.arms) or "the sweep"
    seeds = ", ".join(map(str, sorted({seed for arm in arms for seed in arm.seeds})))
    sentences = [
        f"Tuned for each {each}: {tuned} over {_tried(arms)}, by the lowest mean bits/byte of seeds {seeds} on the {TUNING_SPLIT} split; "
        f"{_budget(arms)}."
    ]
    if len({(arm.trials, len(arm.tried)) for arm in arms}) > 1:
        budgets = "; ".join(f"{arm.name}: {counted(arm.trials, 'trial')}, values tried: {len(arm.tried)}" for arm in arms)
        sentences.append(f"The arms were tuned with unequal budgets ({budgets}): what separates them may be the tuning.")
    chosen = [arm for arm in arms if arm.chosen is not None]
    reporting = sorted({one.seed for one in results.outcomes if one.seed is not None and _split(one) != TUNING_SPLIT})
    if not reporting:
        choices = "; ".join(f"{arm.name}: {_text(arm.chosen or {})}" for arm in chosen)
        return [*sentences, f"There are no reporting seeds: the rows are the tuning trials. Chosen: {choices or 'nothing yet'}."]
    if chosen:
        sentences.append(f"Shown are the seeds {', '.join(map(str, reporting))} at the values chosen, and no other.")
    if waiting := [arm.name for arm in arms if arm.chosen is None]:
        shown = "not shown" if chosen else "all their values are shown"
        sentences.append(f"Nothing was chosen yet for {'; '.join(waiting)} ({shown}): tuning trials lack figures.")
    if edge := [f"{arm.name} ({_text(arm.chosen)})" for arm in chosen if arm.chosen is not None and _at_edge(arm)]:
        sentences.append(f"Chosen at the edge of what was tried, so that a better value may lie beyond: {'; '.join(edge)}.")
    if shared := sorted({seed for arm in arms for seed in arm.seeds} & set(reporting)):
        sentences.append(f"Seeds {', '.join(map(str, shared))} both tuned and report: they favour what was chosen.")
    return sentences


def _tuned(outcomes: Sequence[Outcome], keys: Sequence[str], tuned: Sequence[str]) -> TunedArm:
    # What an older version made is not averaged with newer figures.
    newest = max((one.versions for one in outcomes if one.evaluated), default=(0, 0))
    values: dict[str, list[Outcome]] = {}
    for one in outcomes:
        values.setdefault(canonical_json(_settings(one, tuned)), []).append(one)
    means: list[tuple[float, dict[str, Any]]] = []
    for trials in values.values():
        figures = [one.metrics[MEASURE] for one in trials if one.evaluated and one.versions == newest and MEASURE in one.metrics]
        if len(figures) == len(trials):
            means.append((sum(figures) / len(figures), _settings(trials[0], tuned)))
    return TunedArm(
        settings=_settings(outcomes[0], keys),
        tried=[one for _, one in means],
        chosen=min(means, key=lambda one: one[0])[1] if means else None,
        trials=sum(one.evaluated and one.versions == newest for one in outcomes),
        planned=len(outcomes),
        seeds=sorted({one.seed for one in outcomes if one.seed is not None}),
    )


def _split(one: Outcome) -> Any:
    return one.overrides.get(SPLIT, one.settings.get("split"))


def _settings(one: Outcome, keys: Sequence[str]) -> dict[str, Any]:
    return {key: one.overrides[key] for key in keys if key in one.overrides}


def _text(settings: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value_text(value)}" for key, value in settings.items())


def _values_text(tried: Sequence[dict[str, Any]]) -> str:
    if all(len(one) == 1 for one in tried):
        return ", ".join(value_text(value) for value in ordered_values(next(iter(one.values())) for one in tried))
    return "; ".join(map(_text, tried))


def _tried(arms: Sequence[TunedArm]) -> str:
    """Return `1e-4, 2e-4`, or where arms differ what each was tried at."""
    texts = {arm.name: _values_text(arm.tried) or "nothing yet" for arm in arms}
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return "; ".join(f"{text} ({', '.join(name for name in texts if texts[name] == text)})" for text in dict.fromkeys(texts.values()))


def _budget(arms: Sequence[TunedArm]) -> str:
    counts = sorted({arm.trials for arm in arms})
    text = f"{counted(counts[0], 'trial')} an arm" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} trials an arm"
    missing = sum(arm.planned - arm.trials for arm in arms)
    return f"{text}, {missing} more without figures" if missing else text


def _at_edge(arm: TunedArm) -> bool:
    """Return whether the chosen value is the lowest or the highest of several numbers."""
    tried = [as_number(value) for one in arm.tried for value in one.values()]
    if arm.chosen is None or len(arm.chosen) != 1 or len(tried) < 2 or None in tried:
        return False
    value = as_number(next(iter(arm.chosen.values())))
    return value in (min(one for one in tried if one is not None), max(one for one in tried if one is not None))
