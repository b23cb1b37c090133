"""A search without a master whose workers are killed, against one that waits for whole batches.

    python benchmarks/search.py --trials 200 --workers 32 --kills 20 --json
    python benchmarks/search.py --trials 10000 --load-only --json

Workers are processes that ask by TPE with real seals of model=tiny (its data built and model fetched once, beforehand), claim, save each
step and publish as real ones do; a trial only sleeps, a lognormal time in ten steps. Workers are killed with SIGKILL, at times drawn at
random, and each is replaced at once; files that are torn, empty or not ours are put into asks/ meanwhile, some of them under the number
of the next ask, which then counts as asked and as failed: as many asks more are made. The baseline is computed: as many workers on
the very same durations, in the order of asks, where the next batch begins when the last of a batch has ended and nothing else costs time.

"asking" is the part of worker time that goes by between two trials: finding what dead workers left, asking, sealing, claiming. Where
workers are more than cores, they wait for each other there; "asking_cpu" is what they computed meanwhile, "asking_after_first" leaves out
the first time of each worker, which loads Optuna, in 32 workers at once.

--load-only writes a study of --trials asks with results, and measures what it costs a fresh process to load it and to ask by TPE.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.large_study import TPE, load_and_ask, write_study  # noqa: E402
from benchmarks.ready_search import make_ready  # noqa: E402
from benchmarks.search_worker import OBJECTIVE, STEPS, duration, work  # noqa: E402
from persona_exp.progress_bar import progress  # noqa: E402
from persona_exp.search.ask_files import FOLDER, ask_numbers  # noqa: E402
from persona_exp.trial.attempt_records import attempt_files, read_record  # noqa: E402

SPACE = ("optim.lr=tag(log,interval(1e-4,1e-2))", "lora.r=choice(2,4,8)", "lora.dropout=interval(0,0.3)")
TINY = ("data.size=16", "train.max_steps=10", "evaluation.likelihood_items=8", "evaluation.generated_items=0")
# Of those under the number of the next ask; others do not count as asks at all.
TORN = ('{"number": ', "")
FOREIGN = {
    "notes.txt": "what we tried",
    "7.json": "{}",
    ".000003.json.host.1.1.new": '{"number": 3',
    "000002.json~": "[]",
    "000002 (copy).json": "[]",
    "999999.json": "",
    "empty": "",
}
POLL_SECONDS = 0.1
# What all workers import is imported once: on a node each would load a model for longer.
FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Ran:
    """How long all took, how many workers were killed, how long workers lived together, and the machine's load before."""

    seconds: float
    killed: int
    worker_seconds: float
    load_before: float


def main() -> int:
    """Print one JSON object; 1 when a trial was lost or made twice, or more was repeated than a step a kill."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--median-seconds", type=float, default=8.0, help="of a trial's time")
    parser.add_argument("--sigma", type=float, default=0.5, help="of the logarithm of a trial's time")
    parser.add_argument("--steps", type=int, default=10, help="of a trial")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--load-only", action="store_true", help="load a study of --trials asks instead, and ask once")
    parser.add_argument("--json", action="store_true", help="one line instead of an indented object")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="search-"))
    sweep = folder / "runs" / "sweeps" / "search"
    if arguments.load_only:
        sweep.mkdir(parents=True)
        write_study(sweep, arguments.trials, arguments.seed)
        result = {"name": "search_load", "setting": _setting(arguments, "trials", "seed"), **load_and_ask(sweep), "n": 1}
        code = 0
    else:
        make_ready(sweep, [*TINY, *SPACE, f"search.objective={OBJECTIVE}"], arguments.trials + len(TORN), {**TPE, "seed": arguments.seed})
        ran = _run(sweep, folder / "workers", arguments)
        result = summary(sweep, folder / "workers", arguments, ran)
        code = int(not result["holds"])
    print(json.dumps(result, indent=None if arguments.json else 2))
    if code:
        print(f"What ended wrong is kept in {folder}.", file=sys.stderr)
    else:
        shutil.rmtree(folder)
    return code


def batch_barrier(durations: Sequence[float], workers: int) -> float:
    """Return how long batches of as many as there are workers take, one after the other, each as long as its longest."""
    return sum(max(durations[first : first + workers]) for first in range(0, len(durations), workers))


def put(asks: Path, name: str) -> None:
    """Put a file into asks/ that is none: of a name of its own, or in the place of the next ask."""
    asks.mkdir(exist_ok=True)
    if name in FOREIGN:
        (asks / name).write_text(FOREIGN[name])
        return
    for number in itertools.count(len(ask_numbers(asks.parent))):
        with suppress(FileExistsError), (asks / f"{number:06}.json").open("x") as file:
            file.write(name)
            return


def summary(sweep: Path, logs: Path, arguments: argparse.Namespace, ran: Ran) -> dict[str, Any]:
    """Return the JSON object."""
    from persona_exp.search.rebuilt_study import RebuiltStudy

    study = RebuiltStudy(sweep)
    study.refresh()
    asks = [ask for ask in study.asks if ask]
    trials = [study.runs / "trials" / ask.trials[0].trial_id for ask in asks]
    finished = [[read_record(path)["status"] for path in attempt_files(trial)].count("finished") for trial in trials]
    repeated = [found for trial in trials for found in steps_repeated(trial)]
    states = Counter(result.state for ask, result in zip(study.asks, study.results, strict=True) if ask)
    times = [json.loads(line) for log in logs.glob("*.jsonl") for line in log.read_text().splitlines()]
    durations = [duration(arguments.seed, ask.number, arguments.median_seconds, arguments.sigma) for ask in asks]
    barrier = batch_barrier(durations, arguments.workers)
    found = {
        "completed": states["complete"],
        "twice": sum(count > 1 for count in finished) + len(trials) - len(set(trials)),
        "lost": len(asks) - states["complete"],
        "torn": len(study.damaged),
        "killed": ran.killed,
        "taken_up": len(repeated),
        "steps_repeated": sum(repeated),
        "most_steps_repeated_a_kill": max(repeated, default=0),
    }
    right = found["completed"] == arguments.trials and not found["twice"] and not found["lost"]
    return {
        "name": "search",
        "setting": {**_setting(arguments, "trials", "workers", "kills", "median_seconds", "sigma", "steps", "seed"), "seals": "model=tiny"},
        **found,
        "holds": right and all(0 <= steps <= 1 for steps in repeated),
        "ours": round(ran.seconds, 2),
        "baseline": round(barrier, 2),
        "ratio": round(barrier / ran.seconds, 3),
        "unit": "seconds",
        "n": 1,
        "training_seconds": round(sum(durations), 1),
        "worker_seconds": round(ran.worker_seconds, 1),
        "asking": round(sum(one["asking"] for one in times) / ran.worker_seconds, 4),
        "asking_after_first": round(sum(one["asking"] for one in times if not one["first"]) / ran.worker_seconds, 4),
        "asking_cpu": round(sum(one["cpu"] for one in times) / ran.worker_seconds, 4),
        "asking_median_seconds": round(statistics.median(one["asking"] for one in times), 3),
        "load_average_before": round(ran.load_before, 2),
    }


def steps_repeated(trial: Path) -> list[int]:
    """Return for each attempt but a trial's first how many steps it began that had been begun before."""
    found, reached = [], 0
    for number, attempt in enumerate(attempt_files(trial)):
        begun = attempt.with_suffix("") / STEPS
        steps = [int(line) for line in begun.read_text().split()] if begun.exists() else []
        if number:
            found.append(reached + 1 - steps[0] if steps else 0)
        reached = max([reached, *steps])
    return found


def _run(sweep: Path, logs: Path, arguments: argparse.Namespace) -> Ran:
    """Have the search worked on until all is done, with kills and harms at times drawn beforehand."""
    logs.mkdir()
    draws, numbers = random.Random(arguments.seed), itertools.count()
    given = (arguments.seed, arguments.median_seconds, arguments.sigma, arguments.steps)
    durations = [duration(arguments.seed, number, arguments.median_seconds, arguments.sigma) for number in range(arguments.trials)]
    expected = sum(durations) / arguments.workers
    kills = deque(sorted(draws.uniform(0, 0.9 * expected) for _ in range(arguments.kills)))
    harms = deque(sorted((draws.uniform(0, 0.6 * expected), name) for name in (*FOREIGN, *TORN)))
    load, killed, done, worker_seconds, began = os.getloadavg()[0], 0, 0, 0.0, time.monotonic()

    def started() -> tuple[BaseProcess, float]:
        process = FORK.Process(target=work, args=(sweep, logs / f"{next(numbers):04}.jsonl", *given))
        process.start()
        return process, time.monotonic()

    workers = [started() for _ in range(arguments.workers)]
    with progress("trials", arguments.trials) as meter:
        while workers:
            time.sleep(POLL_SECONDS)
            now = time.monotonic() - began
            if kills and kills[0] < now:
                kills.popleft()
                process, _ = draws.choice(workers)
                process.kill()
                process.join()
                killed += process.exitcode == -signal.SIGKILL
                workers.append(started())
            if harms and harms[0][0] < now:
                put(sweep / FOLDER, harms.popleft()[1])
            for process, since in [one for one in workers if not one[0].is_alive()]:
                workers.remove((process, since))
                worker_seconds += time.monotonic() - since
                if process.exitcode not in (0, -signal.SIGKILL):
                    raise RuntimeError(f"A worker ended with {process.exitcode}: what it said is above.")
            published = sum(1 for _ in sweep.parents[1].glob("trials/*/evaluations"))
            if published > done:
                meter.advance(published - done)
                done = published
    return Ran(time.monotonic() - began, killed, worker_seconds, load)


def _setting(arguments: argparse.Namespace, *names: str) -> dict[str, Any]:
    import optuna

    return {**{name: getattr(arguments, name) for name in names}, "sampler": "tpe", "optuna": optuna.__version__, "cores": os.cpu_count()}


if __name__ == "__main__":
    sys.exit(main())
