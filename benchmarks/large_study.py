"""A study of many asks that have results: written without training, and what it costs a process to load it and to ask once more."""

import json
import math
import os
import random
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

OBJECTIVE = "bits_per_byte"
SPACE = ("optim.lr=tag(log,interval(1e-5,1e-2))", "lora.r=choice(4,8,16)", "lora.dropout=interval(0,0.3)")
RANDOM = {"_target_": "optuna.samplers.RandomSampler"}
TPE = {"_target_": "optuna.samplers.TPESampler", "n_startup_trials": 10, "multivariate": True, "constant_liar": True}


def write_study(folder: Path, asks: int, seed: int) -> None:
    """Write a search of so many asks, drawn at random and each with its evaluation, whose next TPE asks for."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from persona_exp.search.ask_files import AskedTrial, ask_path
    from persona_exp.search.rebuilt_study import RebuiltStudy
    from persona_exp.search.search_space import setting_of
    from persona_exp.search.study_settings import StudySettings, write_settings
    from persona_exp.search.suggestion import made_ask, suggest

    parse = OverridesParser.create().parse_override
    settings = StudySettings(
        command="python run.py",
        space=tuple(setting_of(parse(line)).to_json() for line in SPACE),
        composed=(),
        objectives=(OBJECTIVE,),
        directions=("minimize",),
        n_trials=asks + 1,
        sampler=RANDOM,
        pruner=None,
        pauses=False,
        seeds=1,
        seed=seed,
        constraints=(),
        max_failure_rate=0.5,
        custom_search_space=None,
        fixed="",
        code_folder="0" * 12,
        engine="fused",
    )
    write_settings(folder, settings)
    study, composed, draws = RebuiltStudy(folder), _composed(), random.Random(seed)
    ask_path(folder, 0).parent.mkdir()
    for number in range(asks):
        ask = made_ask(study, suggest(study, composed, number), [AskedTrial(f"{number:012x}", "seal.json", "0" * 12)])
        study.accept(ask)
        # As create_ask writes it, but not flushed one by one.
        ask_path(folder, number).write_text(json.dumps(asdict(ask), ensure_ascii=False) + "\n", encoding="utf-8")
        evaluation = study.runs / "trials" / ask.trials[0].trial_id / "evaluations" / ("0" * 12)
        evaluation.mkdir(parents=True)
        (evaluation / "metrics.json").write_text(
            json.dumps({"metrics": {OBJECTIVE: {"value": _value(ask.params) + draws.gauss(0, 0.01)}}}), encoding="utf-8"
        )
    write_settings(folder, StudySettings(**{**asdict(settings), "sampler": TPE}))


def load_and_ask(folder: Path) -> dict[str, Any]:
    """Return what it costs a fresh process to load the study in `folder`, and then to suggest one more: seconds and MB (Linux)."""
    command = [sys.executable, str(Path(__file__)), str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    output = subprocess.run(command, env=environment, capture_output=True, check=True, text=True).stdout
    return dict(json.loads(output))


def _measure(folder: Path) -> dict[str, Any]:
    from persona_exp.search.rebuilt_study import RebuiltStudy
    from persona_exp.search.suggestion import suggest

    composed = _composed()
    imported = time.process_time()
    study = RebuiltStudy(folder)
    study.refresh()
    loaded = time.process_time()
    study.refresh()
    refreshed, began = time.process_time(), time.perf_counter()
    what = suggest(study, composed, len(study.asks))
    asked, ended = time.process_time(), time.perf_counter()
    return {
        "asks": len(study.asks),
        "load_cpu_seconds": loaded - imported,
        "refresh_cpu_seconds": refreshed - loaded,
        "ask_seconds": ended - began,
        "ask_cpu_seconds": asked - refreshed,
        "memory_mb": _peak_memory_mb(),
        "asked": what.overrides,
    }


def _composed() -> Any:
    """Return what a search needs of composed configs to suggest, which is the method's name alone."""
    from omegaconf import OmegaConf

    from persona_exp.search.composed_configs import compose_choices
    from persona_exp.trial.seal import SealedInputs

    return compose_choices(
        [],
        lambda choices: OmegaConf.create({"method": {"name": "lora"}, "model": {}}),
        lambda composed: SealedInputs("", None, "", "", None),
    )


def _value(params: dict[str, Any]) -> float:
    """Return a bowl around a rate of 1e-3."""
    return float((math.log10(params["optim.lr"]) + 3) ** 2 + 0.01 * params["lora.r"] + params["lora.dropout"])


def _peak_memory_mb() -> float:
    """Return the most that this process ever had resident; getrusage would count what forked it."""
    (line,) = (one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    print(json.dumps(_measure(Path(sys.argv[1]))))
