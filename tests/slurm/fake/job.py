"""A job of the fake cluster: what was asked for, what it is doing, and its processes."""

import os
import re
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

TERMINATION = ("CONT", "TERM")


@dataclass
class Job:
    """One job, one task of an array, or (with `waiting`) the tasks of an array that have not started."""

    id: int
    options: dict[str, str]
    script: str
    environment: dict[str, str]
    folder: str
    array: int | None = None
    task: int | None = None
    waiting: list[int] = field(default_factory=list)
    state: str = "PENDING"
    completing: bool = False
    reason: str = "None"
    restarts: int = 0
    node: str = ""
    gpus: list[int] = field(default_factory=list)
    started: float = 0
    ended: float = 0
    preempted: float = 0
    not_before: float = 0
    kill_at: float = 0
    signalled: bool = False
    held: bool = False
    code: int = 0
    number: int = 0
    excluded: str = ""
    dependency: str = ""
    process: "subprocess.Popen[bytes] | None" = None
    steps: list[int] = field(default_factory=list)

    @property
    def label(self) -> str:
        if self.waiting:
            throttle = self.options.get("array", "").partition("%")[2]
            return f"{self.array}_[{ranges(self.waiting)}{'%' + throttle if throttle else ''}]"
        return f"{self.array}_{self.task}" if self.array is not None else str(self.id)

    @property
    def name(self) -> str:
        return self.options.get("job-name", "sbatch")

    @property
    def live(self) -> bool:
        return self.completing or self.state in ("PENDING", "RUNNING")

    @property
    def shown(self) -> str:
        return "COMPLETING" if self.completing else self.state

    @property
    def cores(self) -> int:
        return int(self.options.get("cpus-per-task", 1))

    @property
    def wanted_gpus(self) -> int:
        return int(self.options.get("gpus-per-node", "0").split(":")[-1])

    def matches(self, text: str) -> bool:
        """Whether `12`, `12_3` or `12_[0-3]` names this job or some of its tasks."""
        main, _, tasks = text.partition("_")
        if not tasks:
            return int(main) in (self.id, self.array)
        return self.array == int(main) and any(one == self.task or one in self.waiting for one in expand(tasks.strip("[]")))

    def begin(self, node: str, gpus: list[int], extra: dict[str, str]) -> None:
        """Run the script as Slurm's daemon does."""
        self.state, self.reason, self.node, self.gpus, self.started = "RUNNING", "None", node, gpus, time.time()
        self.ended = self.preempted = self.kill_at = 0
        self.signalled, self.steps, self.code, self.number = False, [], 0, 0
        environment = {**self.environment, **self._variables(), **extra}
        out = Path(self.folder) / self.path(self.options.get("output", "slurm-%j.out"))
        error = Path(self.folder) / self.path(self.options["error"]) if "error" in self.options else out
        script = Path(extra["FAKE_SLURM"]) / f"job{self.id}.{self.restarts}.sh"
        script.write_text(self.script)
        # Unless it is told to append, a job that starts again begins its output anew.
        mode = "ab" if self.options.get("open-mode") == "append" else "wb"
        with out.open(mode) as stdout, error.open(mode) as stderr:
            self.process = subprocess.Popen(
                ["bash", str(script)],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )

    def _variables(self) -> dict[str, str]:
        told = {
            "SLURM_JOB_ID": self.id,
            "SLURM_JOBID": self.id,
            "SLURM_JOB_NAME": self.name,
            "SLURM_JOB_NODELIST": self.node,
            "SLURM_JOB_PARTITION": self.options.get("partition", "main"),
            "SLURMD_NODENAME": self.node,
            "SLURM_JOB_NUM_NODES": 1,
            "SLURM_NODEID": 0,
            "SLURM_PROCID": 0,
            "SLURM_LOCALID": 0,
        }
        if "cpus-per-task" in self.options:
            told["SLURM_CPUS_PER_TASK"] = self.cores
        if self.restarts:
            told["SLURM_RESTART_COUNT"] = self.restarts
        if self.array is not None:
            told |= {"SLURM_ARRAY_JOB_ID": self.array, "SLURM_ARRAY_TASK_ID": self.task or 0}
        if self.gpus:
            told["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, self.gpus))
        return {name: str(value) for name, value in told.items()}

    def path(self, pattern: str, task: int = 0) -> str:
        """Slurm's patterns in the names of output files."""
        values = {"j": self.id, "A": self.array or self.id, "a": self.task, "t": task, "x": self.name, "N": self.node, "%": "%"}
        return re.sub(r"%([jAatxN%])", lambda found: str(values[found[1]]), pattern)

    def processes(self, *, batch: bool) -> list[int]:
        """The processes of the job's steps, wherever they have moved; with `batch`, all of the job."""
        if self.process is None:
            return []
        roots = [self.process.pid] if batch else self.steps
        return [pid for root in roots for pid in (root, *descendants(root))]

    def send(self, name: str, *, steps: bool = True, shell: bool = False) -> None:
        """Signal the steps' processes, the shell alone, or both."""
        found = self.processes(batch=True) if steps and shell else self.processes(batch=False) if steps else []
        if shell and not steps and self.process:
            found = [self.process.pid]
        for pid in dict.fromkeys(found):
            with suppress(ProcessLookupError):
                os.kill(pid, getattr(signal, f"SIG{name.removeprefix('SIG')}"))

    def terminate(self, state: str, reason: str, kill_wait: float) -> None:
        """Begin to end: CONT and TERM to everything, KILL later."""
        self.state, self.reason, self.completing, self.ended = state, reason, True, time.time()
        self.kill_at = self.ended + kill_wait
        for name in TERMINATION:
            self.send(name, shell=True)


def descendants(root: int) -> list[int]:
    """All processes below `root`, through new sessions too."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
                parents.setdefault(int(parent), []).append(int(entry.name))
    found, below = [], parents.get(root, [])
    while below:
        found += below
        below = [child for pid in below for child in parents.get(pid, [])]
    return found


def expand(text: str) -> list[int]:
    """`0-3,7%2`: 0, 1, 2, 3, 7."""
    spans = [part.split("-") for part in text.partition("%")[0].split(",") if part]
    return [number for span in spans for number in range(int(span[0]), int(span[-1]) + 1)]


def ranges(numbers: list[int]) -> str:
    """0, 1, 2, 3, 7: `0-3,7`."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][-1] + 1:
            spans[-1].append(number)
        else:
            spans.append([number])
    return ",".join(f"{span[0]}-{span[-1]}" if len(span) > 1 else str(span[0]) for span in spans)
