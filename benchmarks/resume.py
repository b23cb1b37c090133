"""Runs killed by SIGKILL at a random moment and gone on, against one that was never killed.

    python benchmarks/resume.py --kills 100 --json

Each kill is of a run of its own: `run.py` is begun, killed once, and the same command is given until it has finished; then the SHA-256
of adapter_model.safetensors and of the evaluation's metrics.json are compared with those of a run that was left alone. Runs on an NF4
and on an unquantised base alternate, all with fp32 adapters, dropout and steps of four micro-batches.

Every other kill falls inside a save or inside an evaluation (in turns). Those moments are hit from outside: the run's files tell what
it does (a save is staged in checkpoints/.staging, an evaluation in a folder of the attempt), a random part of their usual length is
waited for, the training process is held with SIGSTOP, and only if its files still say the same it is killed; else it goes on to the next
save. The other kills come in turns after a random part of the time that a run takes, most of which is start, and between two saves.
What a kill fell into is counted in "fell_into". Those that fall anywhere fall into the building of the dataset too; the runs that are hit
in a phase begin with the dataset of the run that was left alone, for they come to it sooner.
In turns they take the training child alone, the command alone (its child must leave in order and not go on behind its back), and all at
once. Two runs of each variant, one kill each, is the smallest number that says anything; 100 kills take about half an hour on two cores.
"""

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.tiny_run import METHODS, Result, TinyRun, send, settings, stopped, training_child, tree  # noqa: E402
from persona_exp.progress_bar import progress  # noqa: E402

TARGETS = ("child", "command", "all")
# What a kill is aimed at, in turns.
PHASES = ("anywhere", "saving", "training", "evaluating")
POLL_SECONDS = 0.001
# Most of a run is start, in which nothing short is to be missed.
POLL_SECONDS_AT_START = 0.005
DRAWS = 8


@dataclass(frozen=True)
class Reference:
    """A run never killed: what it ended in, and how long (seconds) it and the things to be hit in it took."""

    result: Result
    seconds: float
    spans: dict[str, float]


@dataclass(frozen=True)
class Kill:
    """One killed run: what the kill fell into, whom it took, and what came of the run."""

    variant: str
    fell_into: str
    target: str
    identical: bool
    steps_lost: int
    commands: int
    folder: str


def main() -> int:
    """Print one JSON object; 1 when a run ended otherwise than the one never killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at a time")
    parser.add_argument("--phases", nargs="+", default=PHASES, choices=PHASES, help="what kills are aimed at, in turns")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout whose run.py is run")
    parser.add_argument("--engine", default="fused", choices=("fused", "sft"))
    parser.add_argument("--json", action="store_true", help="one line instead of an indented object")
    arguments = parser.parse_args()
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="resume-"))
    with ThreadPoolExecutor(arguments.jobs) as pool:
        alone = {one: TinyRun(one, _made(folder / one), arguments.root, arguments.engine) for one in METHODS}
        references = dict(zip(METHODS, pool.map(reference, alone.values()), strict=True))
        given = (arguments.phases, arguments.seed, folder, alone, references)
        todo = [pool.submit(_kill, number, *given) for number in range(arguments.kills)]
        kills = []
        with progress("kills", arguments.kills) as meter:
            for one in as_completed(todo):
                kills.append(one.result())
                meter.advance(note=f"{sum(kill.identical for kill in kills)}/{len(kills)} identical")
    print(json.dumps(summary(kills, references, arguments.engine, time.monotonic() - started), indent=None if arguments.json else 2))
    if not all(kill.identical for kill in kills):
        return 1
    shutil.rmtree(folder)
    return 0


def summary(kills: list[Kill], references: dict[str, Reference], engine: str, seconds: float) -> dict[str, object]:
    """The JSON object."""
    return {
        "name": "resume",
        "setting": settings(engine),
        "identical": sum(kill.identical for kill in kills),
        "of": len(kills),
        "longest_loss_steps": max(kill.steps_lost for kill in kills),
        "mean_loss_steps": statistics.mean(kill.steps_lost for kill in kills),
        "fell_into": dict(Counter(kill.fell_into for kill in kills)),
        "took": dict(Counter(kill.target for kill in kills)),
        "variants": dict(Counter(kill.variant for kill in kills)),
        "commands_after_a_kill": dict(Counter(kill.commands for kill in kills)),
        "uninterrupted_seconds": {variant: round(one.seconds, 1) for variant, one in references.items()},
        "seconds": round(seconds, 1),
        "unit": "runs",
        "n": len(kills),
        "different": [asdict(kill) for kill in kills if not kill.identical],
    }


def reference(run: TinyRun) -> Reference:
    """Let a run alone and watch what it does."""
    started = time.monotonic()
    process = run.start()
    spans: dict[str, list[float]] = {"saving": [], "training": [], "evaluating": []}
    doing, since = "starting", started
    while process.poll() is None:
        now_doing = run.where()
        if now_doing != doing:
            if doing in spans:
                spans[doing].append(time.monotonic() - since)
            doing, since = now_doing, time.monotonic()
        time.sleep(POLL_SECONDS_AT_START if doing == "starting" else POLL_SECONDS)
    if process.returncode:
        raise RuntimeError(f"A run that was left alone failed: read {run.folder / 'output.log'}.")
    seconds = time.monotonic() - started
    return Reference(run.result(), seconds, {name: statistics.median(found) for name, found in spans.items()})


def _kill(number: int, phases: Sequence[str], seed: int, folder: Path, alone: dict[str, TinyRun], references: dict[str, Reference]) -> Kill:
    turn, of_turn = divmod(number, len(METHODS))
    variant = list(METHODS)[of_turn]
    # Each variant in turns at any time, inside a save, between saves, inside an evaluation, one variant a phase ahead; and each
    # of these to every target.
    phase = phases[(turn + of_turn) % len(phases)]
    target = TARGETS[number // (len(METHODS) * len(phases)) % len(TARGETS)]
    for draw in range(DRAWS):
        run = TinyRun(variant, _made(folder / f"{number:03}-{draw}"), alone[variant].root, alone[variant].engine)
        if phase != "anywhere":
            run.begin_with_dataset_of(alone[variant])
        fell_into = strike(run, phase, target, references[variant], random.Random(f"{seed}-{number}-{draw}"))
        if fell_into is None:  # It had ended before.
            shutil.rmtree(run.folder)
            continue
        commands = run.finish()
        identical = run.result() == references[variant].result
        kill = Kill(variant, fell_into, target, identical, run.steps_lost(), commands, str(run.folder))
        if identical:
            shutil.rmtree(run.folder)
        return kill
    raise RuntimeError(f"In {DRAWS} runs no kill fell into the phase '{phase}'.")


def strike(run: TinyRun, phase: str, target: str, reference: Reference, moments: random.Random) -> str | None:
    """Begin the run, kill it once; what it was doing then, None when it ended before."""
    process = run.start()
    if phase == "anywhere":
        _wait(process, moments.uniform(0, reference.seconds))
    else:
        skipped = 0 if phase == "evaluating" else moments.randrange(3)
        if not _hold_in(process, run, phase, skipped, reference.spans[phase], moments):
            process.wait()
            return None
    if process.poll() is not None:
        return None
    child = training_child(process.pid)
    fell_into = run.where()
    _take(process, child, target)
    process.wait()
    return fell_into


def _hold_in(process: "subprocess.Popen[str]", run: TinyRun, phase: str, skipped: int, span: float, moments: random.Random) -> bool:
    """Stop the training child inside the phase, after `skipped` occasions of it; False when the run ends first."""
    while process.poll() is None:
        if (doing := run.where()) != phase:
            time.sleep(POLL_SECONDS_AT_START if doing == "starting" else POLL_SECONDS)
            continue
        if skipped == 0:
            _wait(process, moments.uniform(0, 0.9 * span))
            child = training_child(process.pid)
            if child is not None and stopped(child):
                if run.where() == phase:
                    return True
                send(child, signal.SIGCONT)
        skipped = max(skipped - 1, 0)
        while run.where() == phase and process.poll() is None:
            time.sleep(POLL_SECONDS)
    return False


def _take(process: "subprocess.Popen[str]", child: int | None, target: str) -> None:
    """SIGKILL to the training child, to the command alone, or to all of its processes."""
    if target == "child" and child is not None:
        send(child, signal.SIGKILL)
        return
    below = list(tree(process.pid))
    for pid in below if target == "all" else [process.pid]:
        send(pid, signal.SIGKILL)
    if child is not None:  # Where it was held, it has to hear that its parent is gone.
        send(child, signal.SIGCONT)


def _wait(process: "subprocess.Popen[str]", seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        time.sleep(min(POLL_SECONDS, max(until - time.monotonic(), 0)))


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    sys.exit(main())
