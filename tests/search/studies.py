"""Searches whose trials nobody trains: their evaluations are written as the objective of a test has them."""

import json
from dataclasses import replace
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from persona_exp.search.ask_files import AskedTrial, create_ask
from persona_exp.search.composed_configs import ComposedConfigs, read_composed
from persona_exp.search.rebuilt_study import RebuiltStudy
from persona_exp.search.search_space import setting_of
from persona_exp.search.study_settings import StudySettings, write_settings
from persona_exp.search.suggestion import made_ask, suggest

SPACE = ("optim.lr=tag(log,interval(1e-5,1e-2))", "lora.r=choice(4,8,16)", "lora.dropout=interval(0,0.3)")
TPE = {"_target_": "optuna.samplers.TPESampler", "n_startup_trials": 5}


def a_search(folder: Path, space=SPACE, *, sampler=None, composed=None, **settings) -> Path:
    """Write a search of `space`; `composed` maps the choices of groups to the method's name."""
    parse = OverridesParser.create().parse_override
    groups = list(composed or {})
    found = [setting_of(parse(line)) for line in space]
    defaults = {
        "command": "python run.py",
        "space": tuple(one.to_json() for one in found),
        "composed": tuple(one.key for one in found if one.key in groups),
        "objectives": ("bits_per_byte",),
        "directions": ("minimize",),
        "n_trials": 40,
        "sampler": sampler or TPE,
        "pruner": None,
        "pauses": False,
        "seeds": 1,
        "seed": 7,
        "constraints": (),
        "max_failure_rate": 0.5,
        "custom_search_space": None,
        "fixed": "",
        "code_folder": "c0dec0dec0de",
        "engine": "fused",
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_settings(folder, StudySettings(**{**defaults, **settings}))
    return folder


class OneMethod(ComposedConfigs):
    """Configs of which nothing but the method is asked."""

    def __init__(self, methods=None):
        self._by_choice = methods or {}

    def method(self, choices):
        return self._by_choice.get(next(iter(choices.values()), None), "lora")

    def composed(self, choices):
        return OmegaConf.create({"method": {"name": self.method(choices)}})


def loss(params) -> float:
    """A bowl around lr 1e-3, with little to gain from the rest."""
    import math

    return (math.log10(params.get("optim.lr", 1e-3)) + 3) ** 2 + 0.01 * params.get("lora.r", 4) + params.get("lora.dropout", 0)


def ask_once(study: RebuiltStudy, composed=None):
    """Ask as workers do, but seal nothing; return the ask."""
    composed = composed or OneMethod()
    while True:
        study.refresh()
        number = len(study.asks)
        if number >= study.settings.n_trials:
            return None
        what = suggest(study, composed, number)
        ask = made_ask(study, what, [AskedTrial(f"a{number:011}", "5ea15ea1.json", f"e{number:011}")])
        if create_ask(study.folder, ask):
            study.accept(ask)
            return ask
        study.forget_last()


def evaluate(folder: Path, ask, value: float | None = None, name: str = "bits_per_byte", **others) -> None:
    """Write the evaluation of an ask's trials."""
    for one in ask.trials:
        published = folder.parent.parent / "trials" / one.trial_id / "evaluations" / one.eval_id
        published.mkdir(parents=True)
        metrics = {name: loss(ask.params) if value is None else value, **others}
        (published / "metrics.json").write_text(json.dumps({"metrics": {key: {"value": one} for key, one in metrics.items()}}))


def attempt(folder: Path, trial_id: str, number: int = 1, losses=None, **record) -> Path:
    """Write an attempt of a trial, with validation losses by step."""
    attempts = folder.parent.parent / "trials" / trial_id / "attempts"
    attempts.mkdir(parents=True, exist_ok=True)
    path = attempts / f"{number:04}.json"
    path.write_text(json.dumps({"attempt": number, "host": "elsewhere", "pid": 1, "status": "running", **record}))
    if losses:
        path.with_suffix("").mkdir(exist_ok=True)
        lines = [json.dumps({"step": step, "eval_loss": loss}) for step, loss in losses.items()]
        (path.with_suffix("") / "validation.jsonl").write_text("\n".join(lines) + "\n")
    return path


__all__ = ["SPACE", "TPE", "OneMethod", "a_search", "ask_once", "attempt", "evaluate", "loss", "read_composed", "replace"]
