"""One sweep's command on a cluster, watched from outside through what it leaves under runs/."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from persona_exp.atomic_files import file_digest
from tests.conftest import ROOT
from tests.faults.cluster import PATIENCE, Cluster, until

TINY = ("model=tiny", "evaluation.likelihood_items=4", "evaluation.generated_items=2", "evaluation.max_new_tokens=4", "cluster.threads=1")
# Some 0.3 s a step on one core.
TRAINING = ("train.max_steps=48", "train.checkpoint_steps=4", "optim.effective_batch_size=8", "lora.dropout=0.1")
ONE = ("-m", "method=qlora", "lora.r=8", *TRAINING, *TINY)
TWO = ("-m", "method=qlora", "lora.r=4,8", *TRAINING, *TINY)


def changed(arguments: tuple[str, ...], *others: str) -> tuple[str, ...]:
    """Return `arguments` with the settings of `others` in place of those of the same names."""
    names = {one.split("=")[0] for one in others}
    return (*(one for one in arguments if one.split("=")[0] not in names), *others)


# Long enough for Slurm to notice a dead node, and for a time limit of a minute.
LONG = changed(ONE, "train.max_steps=240")
# A lease of some seconds, so that a dead worker's trial is not waited for through most of a test.
SLURM = ("hydra/launcher=slurm", "cluster=testbed", "cluster.heartbeat_seconds=1", "cluster.lease_seconds=8")
LEFT_BEHIND = ("interrupted", "running")


@dataclass
class Sweep:
    """`arguments` of run.py (without the launcher's), results below `folder/runs`, started from the checkout `root`."""

    cluster: Cluster
    folder: Path
    arguments: tuple[str, ...]
    root: Path = ROOT
    variables: Mapping[str, str] = field(default_factory=dict)
    launchers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in self.cluster.environment.items() if name != "HYDRA_FULL_ERROR"}
        own = {"PERSONA_EXP_RUNS": str(self.runs), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}
        return {**kept, **own, **self.variables}

    def launch(self, *more: str, prefix: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        """Start the command on the cluster; its output goes to a numbered file."""
        line = [*prefix, sys.executable, str(self.root / "run.py"), *self.arguments, *SLURM, *more]
        with self.log(len(self.launchers)).open("wb") as output:
            process = subprocess.Popen(
                line, cwd=self.root, env=self.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        self.launchers.append(process)
        return process

    def log(self, number: int = -1) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"launcher-{number if number >= 0 else len(self.launchers) - 1}.log"

    def here(self) -> None:
        """The same command without a cluster, uninterrupted."""
        line = [sys.executable, str(self.root / "run.py"), *self.arguments]
        self.folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            line, cwd=self.root, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`persona-exp ARGUMENTS`."""
        line = [sys.executable, "-m", "persona_exp.cli.main", *arguments]
        return subprocess.run(line, cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    def ends(self, code: int = 0, *, seconds: float = 240.0, number: int = -1) -> str:
        """Wait for a launcher to end with `code`; what it said."""
        process = self.launchers[number]
        try:
            found = process.wait(timeout=seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the launcher still runs after {seconds:.0f} s:\n{self.picture()}") from None
        said = self.log(number % len(self.launchers)).read_text(errors="replace")
        assert found == code, f"the launcher ended with {found}:\n{said[-3000:]}\n{self.picture()}"
        return said

    def drains(self, seconds: float = 120.0) -> None:
        """Wait until nothing of ours is in the queue."""
        self.waits("no job is left", lambda: not any(name.startswith("pe-") for _, name, *_ in self.cluster.jobs()), seconds)

    def kill(self) -> None:
        """SIGKILL to every launcher and what it started on this side."""
        for process in self.launchers:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def name(self) -> str:
        """The sweep's name, once it has one."""
        return until("the sweep has a name", lambda: next(iter(self.runs.glob("sweeps/*/sweep.yaml")), None)).parent.name

    def trials(self, role: str = "adapter") -> dict[str, dict[str, Any]]:
        """The sweep's trials of this role by id, with the overrides that tell them apart."""
        content = yaml.safe_load((self.runs / "sweeps" / self.name() / "sweep.yaml").read_text())
        return {one["trial_id"]: one["overrides"] for one in content["trials"] if one["role"] == role}

    def trial(self, **overrides: Any) -> str:
        """The one trial with these overrides, such as r=8."""
        wanted = {f"lora.{key}": value for key, value in overrides.items()}
        (found,) = [trial_id for trial_id, own in self.trials().items() if own.items() >= wanted.items()]
        return found

    def attempts(self, trial: str) -> list[dict[str, Any]]:
        """The trial's attempt records, ascending."""
        return [json.loads(path.read_text()) for path in sorted((self.runs / "trials" / trial / "attempts").glob("[0-9]*.json"))]

    def adapters(self) -> dict[str, str]:
        """SHA-256 of every trial's published adapter."""
        return {path.parent.parent.name: file_digest(path) for path in self.runs.glob("trials/*/adapter/adapter_model.safetensors")}

    def step(self, trial: str) -> int:
        """The highest optimiser step that any attempt of the trial has written down."""
        logs = (self.runs / "trials" / trial / "attempts").glob("*/train.jsonl")
        return max(
            (json.loads(line)["step"] for log in logs for line in log.read_text().splitlines()[-1:] if line.endswith("}")), default=0
        )

    def reaches(self, trial: str, step: int, seconds: float = 120.0) -> dict[str, Any]:
        """Wait until the trial is at `step`, training; its newest attempt record."""
        self.waits(
            f"trial {trial} is at step {step}",
            lambda: self.step(trial) >= step and self.attempts(trial)[-1]["status"] == "running",
            seconds,
        )
        return self.attempts(trial)[-1]

    def saves(self, trial: str, step: int) -> dict[str, Any]:
        """Wait until the trial, past `step`, is in the midst of writing a checkpoint; its newest attempt record."""
        self.reaches(trial, step)
        folder = self.runs / "trials" / trial / "attempts"

        def staged() -> bool:
            return any(not one.name.startswith(("step-", "resumed", "damaged")) for one in folder.glob("*/checkpoints/*"))

        until(f"trial {trial} is saving", staged, seconds=60, pause=0)
        return self.attempts(trial)[-1]

    def waits(self, what: str, check: Callable[[], Any], seconds: float = 60.0) -> Any:
        """As `until`, and tells what it saw when that fails."""
        try:
            return until(what, check, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.picture()}") from None

    def job(self, trial: str) -> str:
        """The Slurm job id of the trial's newest attempt, as a number of its own."""
        return str(self.attempts(trial)[-1]["job"]["id"])

    def address(self, trial: str) -> str:
        """The same as a person would name it: ARRAY_TASK for an array's element."""
        job = self.attempts(trial)[-1]["job"]
        return f"{job['array_id']}_{job['task_id']}" if job.get("array_id") is not None else str(job["id"])

    def finished_once(self, expected: Mapping[str, str]) -> dict[str, list[str]]:
        """Fail unless every trial ended once, with the adapter that it has when nothing interrupts it; the causes of each attempt."""
        assert self.adapters() == dict(expected), self.picture()
        seen = {}
        for trial in [*self.trials(), *self.trials("base")]:
            records = self.attempts(trial)
            assert [record["attempt"] for record in records] == list(range(1, len(records) + 1)), self.picture()
            *before, last = [record["status"] for record in records]
            assert last == "finished", self.picture()
            assert all(status in LEFT_BEHIND for status in before), self.picture()
            seen[trial] = [record.get("cause") or record["status"] for record in records]
            evaluations = list((self.runs / "trials" / trial / "evaluations").glob("*/metrics.json"))
            assert len(evaluations) == (1 if trial in self.trials() else 2), self.picture()
        assert not any(self.runs.glob("trials/*/attempts/*/checkpoints/step-*")), "checkpoints were left behind"
        return seen

    def reported(self, seconds: float = 90) -> Path:
        """The sweep's table, once the keeper or the launcher has written it."""
        return self.waits("the report is written", lambda: next(iter(self.runs.glob("sweeps/*/report/table.md")), None), seconds)

    def picture(self) -> str:
        """What there is to see, for a failure's message."""
        lines = [f"queue: {self.cluster.jobs()}", self.cluster.run("sinfo", "--Node", check=False)]
        for path in sorted(self.runs.glob("trials/*/attempts/*.json")):
            record = json.loads(path.read_text())
            keys = (
                "status",
                "cause",
                "message",
                "host",
                "job",
                "previous",
                "resumed_from_step",
                "checkpoint_step",
                "progress",
                "started",
                "ended",
            )
            lines.append(f"{path.parent.parent.name} {path.stem} " + " ".join(f"{key}={record.get(key)}" for key in keys))
        for log in [*sorted(self.runs.glob("sweeps/*/submissions/*/logs/*")), *sorted(self.folder.glob("launcher-*.log"))]:
            lines += [f"--- {log}", log.read_text(errors="replace")[-1500:]]
        return "\n".join(lines)


def seconds_since(started: float) -> str:
    return f"{time.monotonic() - started:.0f} s"
