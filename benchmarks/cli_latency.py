"""The latency of the CLI on a large sweep: how long `persona-exp status` and its like take, from the shell's point of view.

    python benchmarks/cli_latency.py --json [--trials 1000] [--repeats 5]

The sweep is made of files alone, a trial of each state among those that finished. The baseline is the second within which every command
is to answer; `ours` is the slowest command's median, `cpu_seconds` what the slowest took of the processor, whatever else ran.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROMISED_SECONDS = 1.0
SWEEP = "lora.r=range-0123abcd"
TIMES = {"started": "2026-03-02T09:00:00+00:00", "ended": "2026-03-02T11:30:00+00:00"}
OTHERS = (
    {"status": "running", "host": "node1", "pid": 1, "progress": {"phase": "training", "step": 3, "of": 40, "loss": 2.5}, "ended": None},
    {"status": "failed", "cause": "ValueError", "message": "loss is not finite"},
    {"status": "interrupted", "cause": "preempted", "checkpoint_step": 10},
    None,
)


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="one line instead of an indented object")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder)
        ids = make(runs, arguments.trials)
        commands = [["status"], ["status", SWEEP], ["status", SWEEP, "--json"], ["show", SWEEP], ["show", ids[0]], ["why", ids[-1]]]
        commands += [["diff", ids[0], ids[1]], ["retry", SWEEP, "--cause", "disk_full"], ["clean", "--json"]]
        taken = [[_run(runs, command) for command in commands] for _ in range(arguments.repeats)]
    wall, cpu = ([statistics.median(one[place][which] for one in taken) for place in range(len(commands))] for which in (0, 1))
    names = [" ".join(command).replace(SWEEP, "SWEEP") for command in commands]
    result = {
        "name": "cli_latency",
        "setting": {"trials": arguments.trials, "repeats": arguments.repeats, "load": round(os.getloadavg()[0], 1)},
        "ours": max(wall),
        "baseline": PROMISED_SECONDS,
        "ratio": PROMISED_SECONDS / max(wall),
        "unit": "seconds",
        "n": arguments.repeats,
        "cpu_seconds": max(cpu),
        "commands": {name: {"seconds": one, "cpu_seconds": other} for name, one, other in zip(names, wall, cpu, strict=True)},
    }
    print(json.dumps(result, indent=None if arguments.json else 2))


def make(runs: Path, count: int) -> list[str]:
    """A sweep of `count` trials below `runs`: nine of ten finished, the others in the other states; their ids."""
    entries = []
    for number in range(count):
        trial_id = f"{number:012x}"
        folder = runs / "trials" / trial_id
        write(folder / "config.yaml", f"lora: {{r: {number}}}\nmethod: {{name: qlora, quantisation: nf4}}\nseed: 0\n")
        write(
            folder / "provenance.json",
            json.dumps({"identity": {}, "data_id": "d" * 12, "code": {"digest": "c" * 64}, "command": "python run.py -m"}),
        )
        seal = {"config": "config.yaml", "data_id": "d" * 12, "code": "c" * 64, "code_folder": "c" * 12, "may": {"halve_micro_batch": True}}
        seal |= {"engine": "fused", "method": "qlora", "evaluations": {"adapter": f"e{trial_id[1:]}"}}
        write(folder / "seals" / "5ea15ea1.json", json.dumps(seal))
        record = {"status": "finished", "host": "node1"} if number % 10 else OTHERS[number // 10 % len(OTHERS)]
        if record is not None:
            write(folder / "attempts" / "0001.json", json.dumps({"attempt": 1, "seal": "5ea15ea1.json", **TIMES, **record}))
            write(folder / "attempts" / "0001" / "output.log", "trained\n")
        if number % 10:
            metrics = {"perplexity": {"value": 40.0, "n": 1000, "unit": "tokens"}}
            content = {"condition": "adapter", "split": "test", "metrics": metrics}
            write(folder / "evaluations" / f"e{trial_id[1:]}" / "metrics.json", json.dumps(content))
        entries.append(
            f"- trial_id: '{trial_id}'\n  role: adapter\n  overrides:\n    lora.r: {number}\n  evaluations:\n    adapter: e{trial_id[1:]}\n"
        )
    head = f"name: {SWEEP}\ncommand: python run.py -m\nswept:\n- lora.r\ncreated: '2026-03-01T18:00:00+00:00'\ntrials:\n"
    write(runs / "sweeps" / SWEEP / "sweep.yaml", head + "".join(entries))
    return [f"{number:012x}" for number in range(count)]


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _run(runs: Path, command: list[str]) -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    called = [sys.executable, "-m", "persona_exp.cli.main", *command]
    subprocess.run(called, cwd=ROOT, env={**os.environ, "PERSONA_EXP_RUNS": str(runs)}, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - started, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
