"""Sweeps of many trials: what sealing one takes of the processor, and how long `persona-exp status` of all of them takes.

    python benchmarks/looking.py --trials 20000 --json [--small 2000] [--repeats 3] [--folder DIR]

Trials of engine=noop (and `--small` ones of model=tiny) are sealed by the launcher's own code, beyond composing: their configs are there
before the clock runs. Then records are written by the code that claims, ends and beats: of twenty trials fourteen finished, one failed,
two were interrupted, two run elsewhere and one was not begun. `status` is called as a person calls it, with a queue of this program's own
to ask; first while nothing changes, then while heartbeats move and trials end. The default of 20,000 trials is what is promised.

CPU seconds are of the command and all that it calls, and hardly depend on what else the machine does; seconds by the clock do. Of several
calls the least is given. `ours` are the CPU seconds of the slowest command on all trials, the baseline is the promise of three seconds.
"""

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from hydra import compose, initialize_config_dir

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from persona_exp.config.compose import compose_trial, register_schema  # noqa: E402
from persona_exp.launch.launch_sweep import describe  # noqa: E402
from persona_exp.launch.slurm.slurm_command import SEPARATOR  # noqa: E402
from persona_exp.launch.sweeps import trial_set  # noqa: E402
from persona_exp.launch.sweeps.seal_sweep_rows import Row, TrialRequest, seal_rows  # noqa: E402
from persona_exp.launch.sweeps.submission_record import create, draft, note_jobs  # noqa: E402
from persona_exp.trial.attempt_claim_and_heartbeat import Attempt, claim  # noqa: E402
from persona_exp.trial.hardware_and_versions import hardware, versions  # noqa: E402

PROMISED_SECONDS = 3.0
SWEEP = "seed-0123abcd"
COMMANDS = (("status",), ("status", "--json"), ("status", SWEEP), ("status", SWEEP, "--json"))
# The state of a trial by its place among twenty; the others have finished.
STATES = {0: "failed", 1: "interrupted", 2: "interrupted", 3: "running", 4: "running", 5: "sealed"}
BATCH = 500
# A process that was forked counts its parent's memory as its own in what the kernel says of it at its end.
CALL = """
import sys
from persona_exp.cli.main import main
code = main(sys.argv[1:])
print(*(line for line in open("/proc/self/status") if line.startswith("VmHWM")), file=sys.stderr)
sys.exit(code)
"""


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20_000)
    parser.add_argument("--small", type=int, default=2_000, help="trials of the smaller sweep")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the runs/ folders are made, and removed again (default: a temporary one)")
    parser.add_argument("--json", action="store_true", help="one line instead of an indented object")
    arguments = parser.parse_args()
    register_schema()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="looking-", dir=arguments.folder) as folder:
        rows, sealing = seal(Path(folder) / "many", arguments.trials, "engine=noop")
        few, _ = seal(Path(folder) / "few", arguments.small, "engine=noop")
        _, tiny = seal(Path(folder) / "tiny", arguments.small)
        files = files_a_trial(Path(folder) / "many")
        environment = with_queue(Path(folder))
        measured = {}
        for size, sealed in ((arguments.small, few), (arguments.trials, rows)):
            runs = sealed[0].trial.directory.runs
            running = write_records(runs, sealed)
            measured[str(size)] = {"idle": measure(runs, environment, arguments.repeats)}
            with changing(running):
                measured[str(size)]["while_it_changes"] = measure(runs, environment, arguments.repeats)
    every = [one for states in measured[str(arguments.trials)].values() for one in states.values()]
    ours = max(one["cpu_seconds"] for one in every)
    result = {
        "name": "looking",
        "setting": {
            "trials": arguments.trials,
            "small": arguments.small,
            "repeats": arguments.repeats,
            "cores": os.cpu_count(),
            "load_before": round(load, 1),
            "load_after": round(os.getloadavg()[0], 1),
        },
        "ours": ours,
        "baseline": PROMISED_SECONDS,
        "ratio": PROMISED_SECONDS / ours,
        "unit": "CPU seconds",
        "n": arguments.repeats,
        "sealing_cpu_ms": {"engine=noop": sealing, "model=tiny": tiny},
        "files_a_trial": files,
        "peak_memory_mb": max(one["peak_mb"] for one in every),
        "sealing_peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "status": measured,
    }
    print(json.dumps(result, indent=None if arguments.json else 2))


def seal(runs: Path, count: int, *overrides: str) -> tuple[list[Row], dict[str, float]]:
    """Seal and describe a sweep over seeds; return its rows, and the CPU milliseconds a trial: of the least of its batches, and of all."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        composed = compose_trial(compose("config", overrides=["model=tiny", f"runs={runs}", *overrides]))
    requests = [TrialRequest(replace(composed, seed=number), {"seed": number}) for number in range(count)]
    # What is done once: the code is copied, the data built, the model fetched.
    seal_rows([TrialRequest(replace(composed, seed=count), {})], "python run.py")
    rows, taken = list[Row](), list[float]()
    for first in range(0, count, BATCH):
        batch = requests[first : first + BATCH]
        started = time.process_time()
        sealed = seal_rows(batch, "python run.py -m")
        taken.append((time.process_time() - started) * 1000 / len(batch))
        rows += [row for row in sealed if row.role == "adapter"]
    folder = runs / "sweeps" / SWEEP
    describe(folder, "python run.py -m", ["seed"], rows)
    trial_set.write(folder, [row.sweep_trial for row in rows])
    return rows, {"least": round(min(taken), 3), "mean": round(sum(taken) / len(taken), 3)}


def files_a_trial(runs: Path) -> int:
    """Return how many files the trial with the most has."""
    return max(sum(len(found) for _, _, found in os.walk(folder)) for folder in (runs / "trials").iterdir())


def write_records(runs: Path, rows: Sequence[Row]) -> list[Attempt]:
    """Write what the trials' attempts leave, and the sweep's submission; return the attempts that run."""
    seals = [row.sweep_trial.seal for row in rows]
    options = {"sbatch": {}, "launch": {"code_folder": rows[0].facts["code_folder"]}}
    made = draft(runs / "sweeps" / SWEEP, launcher="slurm", tasks=[seals], options=options, canary=False)
    create(made)
    note_jobs(made, {"canary": None, "arrays": [{"id": "7", "first": 0, "size": 1}], "keeper": None, "complete": True})
    facts = {"versions": versions(), "hardware": hardware(), "gpus": 0}
    running = []
    with _without_waits_for_the_disk():
        for number, row in enumerate(rows):
            state = STATES.get(number % 20, "finished")
            if state != "sealed":
                attempt = _attempt(row, state, facts)
                running += [attempt] if state == "running" else []
    return running


def _attempt(row: Row, state: str, facts: dict[str, object]) -> Attempt:
    attempt = claim(row.trial.directory.attempts, seal=row.trial.path.name, config="config.yaml", code=row.facts["code"])
    assert attempt
    # Of another node, so that nobody here can say whether its process lives; and its beats come from `changing`.
    attempt._ended.set()
    attempt.note(**facts, host="node7", pid_namespace=None)
    attempt.progress("training", 3, 40, 2.5)
    if state == "finished":
        staged = attempt.staging / "adapter"
        staged.mkdir()
        (staged / "noop.json").write_text("{}\n")
        attempt.publish(staged, row.trial.directory.adapter)
        attempt.end("finished")
    elif state != "running":
        attempt.end(state, cause="ValueError" if state == "failed" else "preempted", message="loss is not finite")
    return attempt


@contextmanager
def changing(running: Sequence[Attempt]) -> Iterator[None]:
    """While it holds, the heartbeats of the running trials move, and now and then one of them ends."""
    stop = threading.Event()

    def beat() -> None:
        for number, attempt in enumerate(itertools.cycle(running)):
            if stop.wait(0.005):
                return
            if number % 100 == 99 and attempt.record["status"] == "running":
                attempt.end("finished" if number % 200 == 199 else "failed", cause=None if number % 200 == 199 else "ValueError")
            else:
                attempt.note(heartbeat=int(attempt.record["heartbeat"]) + 1)

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def measure(runs: Path, environment: dict[str, str], repeats: int) -> dict[str, dict[str, float]]:
    """Return for each command the least seconds by the clock and of the processor, and the most memory."""
    found = {}
    for command in COMMANDS:
        taken = [_call(command, {**environment, "PERSONA_EXP_RUNS": str(runs)}) for _ in range(repeats)]
        seconds, cpu, peak = (list(one) for one in zip(*taken, strict=True))
        name = " ".join(command).replace(SWEEP, "SWEEP")
        found[name] = {"seconds": round(min(seconds), 3), "cpu_seconds": round(min(cpu), 3), "peak_mb": round(max(peak))}
    return found


def _call(command: Sequence[str], environment: dict[str, str]) -> tuple[float, float, float]:
    """Return seconds by the clock and of the processor, and MB."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, "-c", CALL, *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    after, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - started
    if done.returncode:
        sys.exit(f"error: {' '.join(command)} ended with {done.returncode}: {done.stderr}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, cpu, int(done.stderr.split()[-2]) / 1024


def with_queue(folder: Path) -> dict[str, str]:
    """Return the environment of a site whose squeue shows one task of whichever job is asked for, waiting."""
    squeue = folder / "bin" / "squeue"
    squeue.parent.mkdir()
    fields = SEPARATOR.join(["7", "7_[0]", "7", "0", "PENDING", "Priority", "", "1:00:00", "${name%%,*}", "first=0"])
    squeue.write_text(f'#!/bin/bash\nfor one in "$@"; do case $one in --name=*) name=${{one#--name=}};; esac; done\necho "{fields}"\n')
    squeue.chmod(0o755)
    return {**os.environ, "PATH": f"{squeue.parent}:{os.environ['PATH']}"}


@contextmanager
def _without_waits_for_the_disk() -> Iterator[None]:
    real: Callable[[int], None] = os.fsync
    os.fsync = lambda descriptor: None
    try:
        yield
    finally:
        os.fsync = real


if __name__ == "__main__":
    main()
