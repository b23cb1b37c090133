"""From one command to all results on Slurm: our launcher against hydra-submitit-launcher 1.2.0.

    python benchmarks/launch_overhead.py --json [--trials 32] [--repeats 3]
    python benchmarks/launch_overhead.py --json --trials 1000

Both sides submit trials that do nothing but write down that they ran, wait, and end when every result is there. The other launcher
lives in a virtual environment of its own, made on the first call. 32 trials are the smallest sweep in which the cost of a trial
outweighs that of the command. From 1,000 trials on the other launcher is left out, for it takes minutes, and what is measured is
how we behave: calls of sbatch, seconds until all is submitted, seconds of `persona-exp status --json`.

The cluster is the one that SLURM_CONF names; without it slurm/testbed is started, and stopped at the end.
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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTBED = ROOT / "slurm" / "testbed" / "cluster.sh"
# Left to itself, pip takes a pre-release of Hydra for this launcher.
BASELINE = ("hydra-core==1.3.2", "hydra-submitit-launcher==1.2.0", "submitit==1.5.4")
MANY = 1000

APP = """\
import os
from pathlib import Path

import hydra


@hydra.main(config_path=None, config_name="config", version_base="1.3")
def app(config):
    folder = Path(os.environ["BASELINE_RESULTS"])
    (folder / f"{config.n}.json").write_text("{}")
    return 0.0


app()
"""
CONFIG = """\
defaults:
  - override hydra/launcher: submitit_slurm
n: 0
hydra:
  output_subdir: null
"""


def main() -> int:
    """Print one JSON object; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--partition", default="main", help="of the cluster (default: main)")
    parser.add_argument("--cluster", default="testbed", help="profile of conf/cluster (default: testbed)")
    parser.add_argument("--json", action="store_true", help="one line instead of an indented object")
    arguments = parser.parse_args()
    if not shutil.which("sbatch"):
        print("error: there is no sbatch here; bash slurm/testbed/install.sh installs Slurm.", file=sys.stderr)
        return 2
    measure = _many if arguments.trials >= MANY else _against_baseline
    with _cluster() as environment, tempfile.TemporaryDirectory(prefix="launch-", dir=_shared()) as folder:
        result = measure(arguments, environment, Path(folder))
    print(json.dumps(result, indent=None if arguments.json else 2))
    return 0


def _against_baseline(arguments: argparse.Namespace, environment: Mapping[str, str], folder: Path) -> dict[str, object]:
    python = _baseline_environment()
    ours, baseline = [], []
    for repeat in range(arguments.repeats):
        here = folder / str(repeat)
        ours.append(_ours(arguments, environment, here / "ours")["all_results"])
        baseline.append(_baseline(python, arguments, environment, here / "baseline"))
    return {
        "name": "launch_overhead",
        "setting": {**_setting(arguments), "repeats": arguments.repeats, "baseline": list(BASELINE)},
        "ours": statistics.median(ours),
        "baseline": statistics.median(baseline),
        "ratio": statistics.median(baseline) / statistics.median(ours),
        "unit": "seconds",
        "n": arguments.repeats,
        "ours_all": ours,
        "baseline_all": baseline,
    }


def _many(arguments: argparse.Namespace, environment: Mapping[str, str], folder: Path) -> dict[str, object]:
    measured = [_ours(arguments, environment, folder / str(repeat), watch=False) for repeat in range(arguments.repeats)]
    median = {key: statistics.median(one[key] for one in measured) for key in measured[0]}
    return {
        "name": "launch_overhead",
        "setting": {**_setting(arguments), "repeats": arguments.repeats},
        "ours": median["submitted"],
        "baseline": None,
        "ratio": None,
        "unit": "seconds",
        "n": arguments.repeats,
        "sbatch_calls": max(int(one["sbatch_calls"]) for one in measured),
        "seconds_until_submitted": median["submitted"],
        "seconds_of_status": median["status"],
        "seconds_of_status_of_the_sweep": median["status_of_sweep"],
        "seconds_until_all_results": median["all_results"],
    }


def _setting(arguments: argparse.Namespace) -> dict[str, object]:
    return {"trials": arguments.trials, "cluster": arguments.cluster, "partition": arguments.partition, "cores": os.cpu_count()}


def _ours(arguments: argparse.Namespace, environment: Mapping[str, str], folder: Path, *, watch: bool = True) -> dict[str, float]:
    """Seconds from the command to its return, to all results, and of `status` while the sweep runs."""
    folder.mkdir(parents=True)
    calls = _counted(folder / "bin")
    environment = {**environment, "PERSONA_EXP_RUNS": str(folder / "runs"), "PATH": f"{calls.parent}:{environment['PATH']}"}
    command = [sys.executable, str(ROOT / "run.py"), "-m", f"seed=range({arguments.trials})", "engine=noop", "model=tiny"]
    command += ["hydra/launcher=slurm", f"cluster={arguments.cluster}", f"hydra.launcher.partition={arguments.partition}"]
    command += [f"hydra.launcher.wait={str(watch).lower()}"]
    _idle(environment)
    started = time.perf_counter()
    _run(command, environment, folder / "ours.log")
    measured = {"submitted": time.perf_counter() - started}
    if not watch:
        (sweep,) = (folder / "runs" / "sweeps").iterdir()
        for name, which in (("status", []), ("status_of_sweep", [sweep.name])):
            status = [sys.executable, "-m", "persona_exp.cli.main", "status", *which, "--json"]
            measured[name] = statistics.median(_seconds(status, environment, folder / f"{name}-{one}.json") for one in range(3))
    _until(arguments.trials, folder / "runs" / "trials", "*/adapter/noop.json", folder / "ours.log")
    measured["all_results"] = time.perf_counter() - started
    measured["sbatch_calls"] = len(calls.read_text().splitlines())
    return measured


def _baseline(python: Path, arguments: argparse.Namespace, environment: Mapping[str, str], folder: Path) -> float:
    (folder / "results").mkdir(parents=True)
    (folder / "app.py").write_text(APP)
    (folder / "config.yaml").write_text(CONFIG)
    command = [str(python), "app.py", "--config-dir", str(folder), "-m", f"n=range({arguments.trials})", f"hydra.sweep.dir={folder}/sweep"]
    command += [f"hydra.launcher.partition={arguments.partition}", "hydra.launcher.timeout_min=10"]
    _idle(environment)
    started = time.perf_counter()
    _run(command, {**environment, "BASELINE_RESULTS": str(folder / "results")}, folder / "baseline.log", cwd=folder)
    _until(arguments.trials, folder / "results", "*.json", folder / "baseline.log")
    return time.perf_counter() - started


def _run(command: list[str], environment: Mapping[str, str], log: Path, cwd: Path = ROOT) -> None:
    with log.open("ab") as output:
        done = subprocess.run(
            command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        sys.exit(f"error: {' '.join(command)} ended with {done.returncode}:\n{log.read_text(errors='replace')[-3000:]}")


def _seconds(command: list[str], environment: Mapping[str, str], output: Path) -> float:
    started = time.perf_counter()
    _run(command, environment, output)
    return time.perf_counter() - started


def _idle(environment: Mapping[str, str]) -> None:
    """Wait until nothing of the side before is in the queue."""
    while subprocess.run(["squeue", "--me", "--noheader"], env=environment, capture_output=True, check=True).stdout.strip():
        time.sleep(0.2)


def _until(number: int, folder: Path, pattern: str, log: Path, patience: float = 600.0) -> None:
    deadline = time.monotonic() + patience
    while sum(1 for _ in folder.glob(pattern)) < number:
        if time.monotonic() > deadline:
            sys.exit(f"error: {folder} holds not all {number} results after {patience:.0f} s:\n{log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.02)


def _counted(folder: Path) -> Path:
    """A folder for PATH whose `sbatch` writes each call down before it makes it; the file with one line a call."""
    calls = folder / "calls"
    folder.mkdir()
    calls.touch()
    wrapper = folder / "sbatch"
    wrapper.write_text(f'#!/bin/sh\necho call >> {calls}\nexec {shutil.which("sbatch")} "$@"\n')
    wrapper.chmod(0o755)
    return calls


def _baseline_environment() -> Path:
    """The Python of a virtual environment that holds the other launcher and nothing of ours; made once, by rename."""
    final = ROOT / "build" / "benchmarks" / BASELINE[1].replace("==", "-")
    if not final.is_dir():
        final.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=f".{final.name}-", dir=final.parent))
        print(f"Installing {', '.join(BASELINE)} into {final} …", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(staged)], check=True)
        pip = [str(staged / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *BASELINE]
        subprocess.run(pip, check=True, stdout=sys.stderr)
        staged.rename(final)
    return final / "bin" / "python"


@contextmanager
def _cluster() -> Iterator[dict[str, str]]:
    """The environment in which Slurm's commands reach a cluster."""
    kept = {name: value for name, value in os.environ.items() if name == "SLURM_CONF" or not name.startswith(("SLURM_", "SBATCH_"))}
    if "SLURM_CONF" in kept:
        yield kept
        return
    subprocess.run(["bash", str(TESTBED), "start"], check=True, stdout=sys.stderr)
    try:
        line = subprocess.run(["bash", str(TESTBED), "env"], check=True, capture_output=True, text=True).stdout.split("SLURM_CONF=")[1]
        yield {**kept, "SLURM_CONF": line.splitlines()[0].strip().strip("'\"")}
    finally:
        subprocess.run(["bash", str(TESTBED), "stop"], check=False, stdout=sys.stderr)


def _shared() -> str:
    """A folder that compute nodes see too: where runs/ would lie."""
    folder = ROOT / "build" / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)


if __name__ == "__main__":
    sys.exit(main())
