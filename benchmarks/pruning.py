"""ASHA in a bundle against no pruning, on the same suggested points: steps taken, the best found, how soon a freed place is filled.

    python benchmarks/pruning.py --studies 10 --json

A study trains model=tiny on --points points drawn at random from rates and ranks, four at a time on one base model, by the training child
of a search; once every trial to its end, once with ASHA, which pauses at its rungs and promotes. The suggestions and data are the same.
"steps" is the part of the optimiser steps that ASHA took; "excess" is by how much its best trial is worse than the best without pruning,
in standard deviations over seeds (in bits a byte of the validation split), which are measured on the first study's best point. A place is
freed when a trial is paused or done; it is filled late by as many steps of the bundle as are taken with fewer trials while another is
still to begin. The default, two studies, is the smallest number that says anything.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.pruning_child import LOG  # noqa: E402
from benchmarks.ready_search import make_ready  # noqa: E402
from persona_exp.progress_bar import progress  # noqa: E402
from persona_exp.search.ask_files import AskedTrial, read_asks  # noqa: E402
from persona_exp.trial.attempt_records import attempt_files  # noqa: E402

OBJECTIVE = "bits_per_byte"
SPACE = ("optim.lr=tag(log,interval(1e-4,1e-1))", "lora.r=choice(2,4,8)")
RANDOM = {"_target_": "optuna.samplers.RandomSampler"}
ASHA = {"_target_": "optuna.pruners.SuccessiveHalvingPruner", "pauses": True, "bootstrap_count": 0}
TOGETHER = 4
WITHIN_SDS = 2.0


@dataclass(frozen=True)
class Ended:
    """What a search came to: the objective of each finished ask by number, the steps that all took, those of its bundle, and seconds."""

    overrides: tuple[dict[str, str], ...]
    values: dict[int, float]
    steps: int
    bundle: tuple[dict[str, int], ...]
    seconds: float

    @property
    def best(self) -> int:
        return min(self.values, key=lambda number: self.values[number])


def main() -> int:
    """Print one JSON object; 1 when the two sides of a study were suggested different points."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2)
    parser.add_argument("--first", type=int, default=0, help="the number, and the seed, of the first study")
    parser.add_argument("--points", type=int, default=16, help="of a study")
    parser.add_argument("--steps", type=int, default=27, help="of a whole trial")
    parser.add_argument("--min-resource", type=int, default=3, help="steps before the first rung, and between validations")
    parser.add_argument("--reduction-factor", type=int, default=2, help="the part that goes on at a rung is one over it")
    parser.add_argument("--seeds", type=int, default=5, help="over which the standard deviation is measured")
    parser.add_argument("--data-size", type=int, default=64)
    parser.add_argument("--json", action="store_true", help="one line instead of an indented object")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="pruning-"))
    load = os.getloadavg()[0]
    studies: list[dict[str, Any]] = []
    deviation = 0.0
    with progress("studies", arguments.studies) as meter:
        for seed in range(arguments.first, arguments.first + arguments.studies):
            whole = searched(folder / f"{seed}-whole", folder, arguments, SPACE, seed=seed)
            pruner = {**ASHA, "min_resource": arguments.min_resource, "reduction_factor": arguments.reduction_factor}
            pruned = searched(folder / f"{seed}-asha", folder, arguments, SPACE, seed=seed, pruner=pruner)
            if whole.overrides != pruned.overrides:
                print(f"error: study {seed} was suggested different points: look into {folder}.", file=sys.stderr)
                return 1
            if not studies:
                deviation = seed_deviation(folder, arguments, whole.overrides[whole.best])
            studies.append(compared(whole, pruned, deviation))
            meter.advance(note=f"{studies[-1]['steps']:.2f} of the steps, best {studies[-1]['excess_sds']} seed SDs worse")
    print(json.dumps(summary(arguments, studies, deviation, load), indent=None if arguments.json else 2))
    shutil.rmtree(folder)
    return 0


def searched(
    place: Path, shared: Path, arguments: argparse.Namespace, space: Sequence[str], *, seed: int, pruner: dict[str, Any] | None = None
) -> Ended:
    """Run a search below `place`, with the dataset that an earlier one below `shared` has built, and return what it came to."""
    sweep = place / "runs" / "sweeps" / "search"
    built = next((path for path in sorted(shared.glob("*/runs/data")) if path.is_dir()), None)
    if built:
        shutil.copytree(built, place / "runs" / "data")
    lines = [*space, *_fixed(arguments)]
    points = arguments.points if space is SPACE else arguments.seeds
    sampler = RANDOM if space is SPACE else {"_target_": "grid"}
    make_ready(sweep, lines, points, {**sampler, "seed": seed}, pruner)
    log = place / "bundle-steps.jsonl"
    command = [sys.executable, str(ROOT / "benchmarks" / "pruning_child.py"), "--search", str(sweep), "--parent", str(os.getpid())]
    environment = {**os.environ, LOG: str(log), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    began = time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - began
    if done.returncode:
        raise RuntimeError(f"A search ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-3000:]}")
    asks, trials = read_asks(sweep), place / "runs" / "trials"
    values = {ask.number: value for ask in asks if (value := objective(trials, ask.trials[0])) is not None}
    steps = sum(steps_taken(trials / ask.trials[0].trial_id) for ask in asks)
    bundle = tuple(json.loads(line) for line in log.read_text().splitlines())
    return Ended(tuple(ask.overrides for ask in asks), values, steps, bundle, seconds)


def objective(trials: Path, asked: AskedTrial) -> float | None:
    """Return the objective of a trial; None where it was not evaluated."""
    path = trials / asked.trial_id / "evaluations" / str(asked.eval_id) / "metrics.json"
    return float(json.loads(path.read_text())["metrics"][OBJECTIVE]["value"]) if path.exists() else None


def steps_taken(trial: Path) -> int:
    """Return how many optimiser steps a trial took, of all its attempts."""
    logs = [path.with_suffix("") / "train.jsonl" for path in attempt_files(trial)]
    return sum(len(log.read_text().splitlines()) for log in logs if log.exists())


def seed_deviation(folder: Path, arguments: argparse.Namespace, point: dict[str, str]) -> float:
    """Return the standard deviation of the objective over seeds at a point."""
    space = [f"seed=range({arguments.seeds})", *(f"{name}={text}" for name, text in point.items())]
    return statistics.stdev(searched(folder / "seeds", folder, arguments, space, seed=0).values.values())


def compared(whole: Ended, pruned: Ended, deviation: float) -> dict[str, Any]:
    """Return how the two sides of a study compare."""
    found, best = pruned.values[pruned.best], whole.values[whole.best]
    return {
        "steps": pruned.steps / whole.steps,
        "steps_of": [pruned.steps, whole.steps],
        "finished": [len(pruned.values), len(whole.values)],
        "best": [round(found, 5), round(best, 5)],
        "same_point": pruned.best == whole.best,
        "excess_sds": round((found - best) / deviation, 3) if deviation else None,
        "within": found - best <= WITHIN_SDS * deviation,
        "filled_late_steps": filled_late(pruned.bundle),
        "seconds": [round(pruned.seconds, 1), round(whole.seconds, 1)],
    }


def filled_late(bundle: Sequence[dict[str, int]]) -> int:
    """Return the most steps that a bundle took, one after the other, with a free place while a trial was still to begin."""
    begins = [
        at for at, slots in enumerate(bundle) for number, step in slots.items() if not step and (not at or number not in bundle[at - 1])
    ]
    most = late = 0
    for slots in bundle[: max(begins, default=0)]:
        late = late + 1 if len(slots) < TOGETHER else 0
        most = max(most, late)
    return most


def summary(arguments: argparse.Namespace, studies: Sequence[dict[str, Any]], deviation: float, load: float) -> dict[str, Any]:
    """Return the JSON object."""
    import optuna
    import torch

    names = ("studies", "points", "steps", "min_resource", "reduction_factor", "seeds", "data_size")
    setting = {**{name: getattr(arguments, name) for name in names}, "model": "tiny", "together": TOGETHER, "space": SPACE}
    part = statistics.median(one["steps"] for one in studies)
    seconds = [statistics.median(one["seconds"][side] for one in studies) for side in (0, 1)]
    return {
        "name": "pruning",
        "setting": {**setting, "optuna": optuna.__version__, "torch": torch.__version__, "cores": os.cpu_count()},
        "ours": statistics.median(one["steps_of"][0] for one in studies),
        "baseline": statistics.median(one["steps_of"][1] for one in studies),
        "ratio": round(1 / part, 3),
        "unit": "optimiser steps",
        "n": len(studies),
        "steps": round(part, 4),
        "most_steps": round(max(one["steps"] for one in studies), 4),
        "within_2_seed_sds": sum(one["within"] for one in studies),
        "seed_sd": deviation,
        "filled_late_steps": max(one["filled_late_steps"] for one in studies),
        "seconds": seconds,
        "load_average_before": round(load, 2),
        "each": studies,
    }


def _fixed(arguments: argparse.Namespace) -> list[str]:
    return [
        *(f"search.objective={OBJECTIVE}", f"data.size={arguments.data_size}", f"train.max_steps={arguments.steps}"),
        *(f"train.eval_steps={arguments.min_resource}", "train.eval_items=8", "train.log_steps=1"),
        *("train.checkpoint_steps=1000", f"bundle.size={TOGETHER}", "cluster.threads=1", "optim.effective_batch_size=2"),
        *("evaluation.likelihood_items=16", "evaluation.generated_items=0"),
    ]


if __name__ == "__main__":
    sys.exit(main())
