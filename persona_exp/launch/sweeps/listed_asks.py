"""The asks of a search as trials in its sweep.yaml, which reports read; written whenever a search ends."""

from collections import Counter
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from persona_exp import atomic_files
from persona_exp.errors import UserError
from persona_exp.search.ask_files import Ask, read_asks
from persona_exp.search.ask_results import read_result
from persona_exp.search.study_settings import read_settings
from persona_exp.trial.sweep_file import sweep_text

# Those that have no figures: a table counts them, and has no row for them.
WITHOUT_FIGURES = ("pruned", "paused", "refused")


def list_asked_trials(sweep_folder: Path) -> None:
    """Write into the search's sweep.yaml the trials that it has asked for, but those given up, and how many asks are in which state.

    Raise UserError where sweep.yaml is missing or damaged.
    """
    import yaml

    path = sweep_folder / "sweep.yaml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        base = [one for one in content["trials"] if one["role"] == "base"]
    except (OSError, yaml.YAMLError, TypeError, KeyError) as error:
        raise UserError(f"{path} is damaged ({error}): remove it and run the search's command again.") from error
    settings, asks, runs = read_settings(sweep_folder), read_asks(sweep_folder), sweep_folder.parent.parent
    states = {ask.number: read_result(runs, sweep_folder.name, ask, settings.objectives, losses=False).state for ask in asks}
    listed = [row for ask in asks if states[ask.number] not in WITHOUT_FIGURES for row in _rows(ask)]
    trials = list({row["trial_id"]: row for row in listed}.values())
    counts = dict(Counter(states.values()))
    head = {key: value for key, value in content.items() if key != "trials"}
    head["search"] = {"asked": len(asks), "of": settings.n_trials, **counts}
    atomic_files.write_text(path, sweep_text(head, [*base, *trials]))


def _rows(ask: Ask) -> list[dict[str, Any]]:
    values = {name: _value(name, text) for name, text in ask.overrides.items()}
    evaluations = [{"adapter": one.eval_id} if one.eval_id else {} for one in ask.trials]
    return [
        {"trial_id": one.trial_id, "role": "adapter", "overrides": values, "evaluations": measured}
        for one, measured in zip(ask.trials, evaluations, strict=True)
    ]


def _value(name: str, text: str) -> Any:
    value = OverridesParser.create().parse_override(f"{name}={text}").value()
    return value if isinstance(value, int | float | bool | list) or value is None else str(value)
