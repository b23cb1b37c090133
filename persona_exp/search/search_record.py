"""All that is known of a search as plain JSON values: for `persona-exp search --json`, and report/search.json, which figures read."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp import atomic_files
from persona_exp.search.ask_files import Ask
from persona_exp.search.ask_results import readable_losses
from persona_exp.search.rebuilt_study import RebuiltStudy
from persona_exp.search.search_space import Setting
from persona_exp.search.setting_importance import setting_importance
from persona_exp.trial.attempt_records import attempt_files, read_record
from persona_exp.trial.recorded_sweep import sweep_note
from persona_exp.trial.trial_directory import trial_directory

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

# In the order in which they are counted for a reader.
STATES = ("complete", "running", "open", "paused", "pruned", "refused", "failed", "damaged")


def write_search_record(study: RebuiltStudy) -> Path:
    """Write report/search.json into the search's folder and return its path."""
    path = study.folder / "report" / "search.json"
    record = {**search_record(study), "importance": importance_record(study)}
    atomic_files.write_json(path, atomic_files.finite(record))
    return path


def search_record(study: RebuiltStudy) -> dict[str, Any]:
    """Return the settings, the asks with their results and attempts, the warm starts and which are best, as of the study's last refresh."""
    settings = study.settings
    best = best_trials(study)
    return {
        "search": study.folder.name,
        "note": sweep_note(study.folder) or None,
        "command": settings.command,
        "objectives": [{"name": name, "direction": way} for name, way in zip(settings.objectives, settings.directions, strict=True)],
        "n_trials": settings.n_trials,
        "asked": len(study.asks),
        "seeds": settings.seeds,
        "constraints": list(settings.constraints),
        "sampler": str(settings.sampler["_target_"]).rsplit(".", 1)[-1],
        "pruner": str(settings.pruner["_target_"]).rsplit(".", 1)[-1] if settings.pruner else None,
        "settings": [setting_record(one) for one in study.space],
        "counts": counts(study),
        "damaged": study.damaged,
        "best": [number for number in best if number >= 0],
        "best_warm": [number + study.offset for number in best if number < 0],
        "asks": [ask_record(study, number) for number in range(len(study.asks))],
        "warm": [
            {"trial_id": one.trial_id, "sweep": one.sweep, "values": one.overrides, "objectives": list(one.values)} for one in settings.warm
        ],
    }


def counts(study: RebuiltStudy) -> dict[str, int]:
    """Return how many asks are in each state that any is in."""
    found = Counter[str](one.state for one in study.results)
    return {state: found[state] for state in STATES if found[state]}


def best_trials(study: RebuiltStudy) -> list[int]:
    """Return the numbers of the best ask, or with several objectives of those on the Pareto front; below 0 for warm starts, the last -1.

    What breaks a constraint is not among them.
    """
    found = study.study.best_trials
    if len(study.settings.objectives) == 1:
        # Of several that are equally good, the first.
        found = found[:1]
    return [_ask_number(study, one) for one in found]


def importance_record(study: RebuiltStudy) -> dict[str, Any]:
    """Return the importance of settings, or under `refused` why it cannot be said."""
    found = setting_importance(study.study)
    return {"refused": found} if isinstance(found, str) else {"refused": None, **asdict(found)}


def setting_record(setting: Setting) -> dict[str, Any]:
    """Return what a setting is drawn from: `choices` as on a command line, in their order, or a range."""
    from optuna.distributions import CategoricalDistribution

    found: Any = setting.distribution
    if setting.texts or isinstance(found, CategoricalDistribution):
        kind = "choice" if isinstance(found, CategoricalDistribution) else "ordered"
        return {"name": setting.name, "kind": kind, "choices": list(setting.texts)}
    kind = type(found).__name__.removesuffix("Distribution").lower()
    return {"name": setting.name, "kind": kind, "low": found.low, "high": found.high, "step": found.step, "log": found.log}


def ask_record(study: RebuiltStudy, number: int) -> dict[str, Any]:
    """Return an ask with its result; `values` are numbers where the setting is one, else the text. `reached` is its last validated step."""
    ask, result = study.asks[number], study.results[number]
    if ask is None:
        return {"number": number, "state": result.state, "why": result.why, "values": {}, "trials": [], "objectives": None, "losses": {}}
    losses, damage = (result.losses, None) if result.losses else _losses(study.runs, ask)
    constraints = {**ask.constraints, **result.constraints}
    return {
        "number": number,
        "title": ask.title,
        "state": result.state,
        "why": result.why or damage,
        "values": {name: _value(study, name, text, ask) for name, text in ask.overrides.items()},
        "objectives": list(result.values) if result.values else None,
        "losses": losses,
        "reached": max(losses, default=None),
        "constraints": constraints,
        "feasible": all(excess <= 0 for excess in constraints.values()),
        "trials": [one.trial_id for one in ask.trials],
        "asked": ask.by.get("at"),
        "known": ask.known,
        "attempts": _attempts(study.runs, ask),
    }


def _value(study: RebuiltStudy, name: str, text: str, ask: Ask) -> Any:
    """Return a number of a range, and of a choice its text."""
    setting = next((one for one in study.space if one.name == name), None)
    return text if setting is None or setting.texts else ask.params.get(name, text)


def _losses(runs: Path, ask: Ask) -> tuple[dict[int, float], str | None]:
    """Return the validation losses of its first trial where no pruner has read them, and what is damaged of them."""
    return readable_losses(trial_directory(runs, ask.trials[0].trial_id)) if ask.trials else ({}, None)


def _attempts(runs: Path, ask: Ask) -> list[dict[str, Any]]:
    found = []
    for one in ask.trials:
        for path in attempt_files(runs / "trials" / one.trial_id):
            record = read_record(path)
            kept = {key: record.get(key) for key in ("host", "started", "ended", "status", "cause")}
            found.append({"trial_id": one.trial_id, "attempt": int(path.stem), **kept})
    return found


def _ask_number(study: RebuiltStudy, trial: "FrozenTrial") -> int:
    return int(trial.number) - study.offset
