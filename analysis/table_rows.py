"""The rows of the table and the figure: base rows, then one a setting, each with the base row that it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from analysis.seed_aggregation import Row, aggregate_seeds
from analysis.sweep_results import Outcome, Results, setting_keys
from analysis.swept_values import as_number, ordered_values
from persona_exp.atomic_files import canonical_json
from persona_exp.trial.comparability import distinguishing


def build_rows(results: Results) -> list[Row]:
    """Return base rows, base rows with the system prompt, then settings: by number where a key has numbers, else as swept."""
    unlike = len({one.precision for one in results.outcomes if one.precision}) > 1
    adapters = [one for one in results.outcomes if one.condition == "adapter"]
    bases = [one for one in results.outcomes if one.condition != "adapter"]
    keys = setting_keys(results.sweep)
    rows = []
    for condition in ("base", "base+system"):
        alike = [one for one in bases if one.condition == condition]
        marks = _marks(alike)
        for one, mark in zip(alike, marks, strict=True):
            if unlike and one.precision and one.words["precision"] not in mark:
                mark = ", ".join(filter(None, (mark, one.words["precision"])))
            rows.append(aggregate_seeds([one], _base_overrides(one, adapters, keys) if len(alike) > 1 else {}, None, mark))
    for group in _settings(adapters, keys):
        parts = _made_alike(group)
        versions = {one.versions for one in group if one.evaluated}
        for part in parts:
            first = next((one for one in part if one.evaluated), part[0])
            marks = ["training version {}, evaluation version {}".format(*first.versions)] if len(versions) > 1 else []
            marks += [first.words["precision"]] if unlike and first.precision else []
            rows.append(aggregate_seeds(part, group[0].overrides, _reference(part, bases), ", ".join(marks)))
    return rows


def _settings(adapters: Sequence[Outcome], keys: Sequence[str]) -> list[list[Outcome]]:
    """Return the outcomes of each setting, seeds ascending."""
    ranks = {key: [canonical_json(value) for value in ordered_values(one.overrides.get(key) for one in adapters)] for key in keys}

    def place(one: Outcome) -> list[float]:
        return [*(ranks[key].index(canonical_json(one.overrides.get(key))) for key in keys), as_number(one.seed) or 0.0]

    groups: dict[str, list[Outcome]] = {}
    for one in sorted(adapters, key=place):
        groups.setdefault(canonical_json(one.overrides), []).append(one)
    return list(groups.values())


def _made_alike(group: Sequence[Outcome]) -> list[list[Outcome]]:
    """Return a setting's outcomes by the versions that made them, the newest first, and by the precision of the evaluation.

    What has no figures is with its training version's newest.
    """

    def alike(one: Outcome) -> tuple[int, int, str]:
        return *one.versions, one.precision or ""

    made = sorted({alike(one) for one in group if one.evaluated}, reverse=True)
    if len(made) < 2:
        return [list(group)]

    def place(one: Outcome) -> tuple[int, int, str]:
        same = [key for key in made if key[0] == one.versions[0]]
        return alike(one) if one.evaluated else (*same, made[0])[0]

    return [[one for one in group if place(one) == key] for key in made]


def _marks(bases: Sequence[Outcome]) -> list[str]:
    """Return what distinguishes each base row from the others of its condition; no two are the same."""
    if len(bases) < 2:
        return ["" for _ in bases]
    found = distinguishing([one.words for one in bases])
    own = [", ".join(filter(None, (mark, one.trial_id))) for mark, one in zip(found, bases, strict=True)]
    marks = [mark if mark and found.count(mark) == 1 else other for mark, other in zip(found, own, strict=True)]
    # Two evaluations of one trial, neither of which is there.
    return [f"{mark}, {as_number}" if marks.count(mark) > 1 else mark for as_number, mark in enumerate(marks, start=1)]


def _base_overrides(base: Outcome, adapters: Sequence[Outcome], keys: Sequence[str]) -> dict[str, Any]:
    """Return what distinguishes a base row from the others: swept values that all its adapters share, and how it was evaluated itself."""
    fitting = [one for one in adapters if one.basis.ground == base.basis.ground]
    first = fitting[0].overrides if fitting else {}
    shared = {key: value for key, value in first.items() if all(one.overrides.get(key) == value for one in fitting)}
    names = {key: key.removeprefix("evaluation.") for key in keys if key.startswith("evaluation.")}
    return shared | {key: base.settings[name] for key, name in names.items() if name in base.settings}


def _reference(group: Sequence[Outcome], bases: Sequence[Outcome]) -> Outcome | None:
    """Return the base row with the system prompt to compare a setting with: of its precision, on its data, evaluated alike; else None."""
    first = next((one for one in group if one.evaluated), None)
    if first is None:
        return None
    fitting = (one for one in bases if one.condition == "base+system" and one.evaluated and one.ground == first.ground)
    return next(fitting, None)
