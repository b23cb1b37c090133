"""Warm starts: finished trials of earlier sweeps that this search might have asked for itself, known to its sampler from the start."""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import IntDistribution

from persona_exp.config.trial_identity import GROUPS_READ
from persona_exp.errors import UserError
from persona_exp.search.ask_files import Ask, AskedTrial, read_asks
from persona_exp.search.ask_results import read_result
from persona_exp.search.composed_configs import ComposedConfigs
from persona_exp.search.constraints import parse_constraint
from persona_exp.search.search_space import Setting
from persona_exp.search.study_settings import StudySettings, WarmStart
from persona_exp.search.suggestion import READ_BY_METHOD
from persona_exp.trial.evaluate_trial import owed_evaluations
from persona_exp.trial.recorded_sweep import read_sweep
from persona_exp.trial.seal import trial_id_of
from persona_exp.trial.trial_directory import trial_directory

if TYPE_CHECKING:
    from persona_exp.config.schema import Config

OTHER, OUTSIDE = "other settings are not equal", "outside of the ranges"
UNMEASURED = "no figures on the validation split as here, or a constraint broken"


def warm_starts(
    settings: StudySettings, composed: ComposedConfigs, runs: Path, sweeps: Sequence[str]
) -> tuple[list[WarmStart], dict[str, Counter[str]]]:
    """Return the trials of `sweeps` that are known from the start, and by sweep how many others are not, by the reason.

    A trial counts where all that is not searched is equal, by its id, and its objectives were measured as this search does. Raise
    UserError where there is no such sweep or a measurement is damaged, or with several seeds, of which none is one objective.
    """
    if sweeps and settings.seeds > 1:
        raise UserError(f"search.from takes single trials, and search.seeds={settings.seeds} makes an objective of several: leave one out.")
    space = [Setting.from_json(one) for one in settings.space]
    found: dict[str, WarmStart] = {}
    left_out: dict[str, Counter[str]] = {}
    for name in sweeps:
        left_out[name] = Counter()
        for trial_id in _adapters(runs, name):
            what = _known(settings, composed, space, runs, name, trial_id)
            if isinstance(what, WarmStart):
                found.setdefault(trial_id, what)
            else:
                left_out[name][what] += 1
    return list(found.values()), left_out


def _adapters(runs: Path, name: str) -> list[str]:
    """Return the trials of a sweep, or of a search that may not have ended, that trained something."""
    listed = [one.trial_id for one in read_sweep(runs, name).trials if one.role == "adapter"]
    asked = [one.trial_id for ask in read_asks(runs / "sweeps" / name) for one in ask.trials]
    return list(dict.fromkeys([*listed, *asked]))


def _known(
    settings: StudySettings, composed: ComposedConfigs, space: Sequence[Setting], runs: Path, sweep: str, trial_id: str
) -> WarmStart | str:
    directory = trial_directory(runs, trial_id)
    try:
        config = yaml.safe_load(directory.config.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return UNMEASURED
    reasons = {OTHER}
    for choices in _choices(settings, space):
        unread = set(READ_BY_METHOD) - set(GROUPS_READ[composed.method(choices)])
        asked = [one for one in space if one.key not in choices and one.group not in unread]
        found = {one.name: _text(one, config) for one in asked}
        texts = {name: text for name, text in found.items() if text is not None}
        if len(texts) < len(found):
            reasons = {OUTSIDE}
            continue
        ours = composed.config(choices, [f"{one.key}={texts[one.name]}" for one in space if one.key not in choices and one.name in texts])
        inputs = composed.inputs(choices)
        if trial_id_of(ours, inputs) != trial_id:
            continue
        values = _values(settings, runs, ours, trial_id, inputs.data_id)
        if values is None:
            return UNMEASURED
        overrides = {one.name: choices.get(one.key, texts.get(one.name, "")) for one in space if one.key in choices or one.name in texts}
        return WarmStart(trial_id, sweep, overrides, values)
    return next(iter(reasons))


def _choices(settings: StudySettings, space: Sequence[Setting]) -> Iterator[dict[str, str]]:
    """Yield every choice of what was composed beforehand."""
    chosen = [one for one in space if one.key in settings.composed]
    for combination in itertools.product(*([one.text(value) for value in one.points() or ()] for one in chosen)):
        yield dict(zip([one.key for one in chosen], combination, strict=True))


def _text(setting: Setting, config: Mapping[str, Any]) -> str | None:
    """Return the text of the value that the trial has of a setting; None where that is outside of what is searched."""
    value: Any = config
    for part in setting.name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if setting.texts:
        parse = OverridesParser.create().parse_override
        return next((text for text in setting.texts if parse(f"key={text}").value() == value), None)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    number = int(value) if isinstance(setting.distribution, IntDistribution) else float(value)
    inside = setting.distribution._contains(setting.distribution.to_internal_repr(number))
    return repr(number) if inside and number == value else None


def _values(settings: StudySettings, runs: Path, config: "Config", trial_id: str, data_id: str) -> tuple[float, ...] | None:
    """Return the objectives of a trial as this search measures them; None where it has none such."""
    owed = owed_evaluations(replace(config, runs=str(runs)), trial_id, data_id)
    if not owed:
        return None
    ask = Ask(0, {}, {}, (AskedTrial(trial_id, "", owed[0].eval_id),))
    constraints = [parse_constraint(one) for one in settings.constraints]
    found = read_result(runs, "", ask, settings.objectives, losses=False, others=[one.measure for one in constraints])
    kept = all(one.measure in found.others and one.excess(found.others[one.measure]) <= 0 for one in constraints)
    return found.values if kept else None
