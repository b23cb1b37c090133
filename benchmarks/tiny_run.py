"""One small trial through the command that users give, for the benchmarks that cut it short: how to run it, where it is, what it ends in.

Adapters on a 4-bit and on a bfloat16 base, kept in fp32 both; dropout on, steps of several rows or micro-batches, a checkpoint every third
step.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from persona_exp.atomic_files import file_digest

ROOT = Path(__file__).parents[1]
CHECKPOINT_STEPS = 3
METHODS = {"nf4": "qlora", "fp32": "lora"}
TINY = (
    *("model=tiny", "lora.r=8", "lora.dropout=0.1", "optim.effective_batch_size=8", "train.micro_batch_size=2", "bundle.row_tokens=256"),
    *("train.max_steps=14", f"train.checkpoint_steps={CHECKPOINT_STEPS}", "train.keep_checkpoints=2"),
    *("evaluation.likelihood_items=8", "evaluation.generated_items=2", "evaluation.max_new_tokens=8"),
)
SECONDS_AT_MOST = 600
TRIES = 6


@dataclass(frozen=True)
class Result:
    """SHA-256 of adapter_model.safetensors and of each evaluation's metrics.json."""

    adapter: str
    metrics: tuple[str, ...]


class TinyRun:
    """`python run.py …` of one variant, its results below `folder/runs`, in a session of its own."""

    def __init__(self, variant: str, folder: Path, root: Path = ROOT, engine: str = "fused") -> None:
        self.folder, self.root, self.engine = folder, root, engine
        self._line = [sys.executable, str(root / "run.py"), f"method={METHODS[variant]}", f"engine={engine}", *TINY]

    @property
    def trials(self) -> Path:
        return self.folder / "runs" / "trials"

    def begin_with_dataset_of(self, other: "TinyRun") -> None:
        """Put there what `other` has built: the dataset and its tokens."""
        if (built := other.folder / "runs" / "data").is_dir():
            shutil.copytree(built, self.folder / "runs" / "data")

    def start(self, **more: str) -> "subprocess.Popen[str]":
        """The command, begun; its words go to `folder/output.log`."""
        kept = {name: value for name, value in os.environ.items() if name not in ("HYDRA_FULL_ERROR", "RESUME_CHECKPOINT")}
        environment = {**kept, "PERSONA_EXP_RUNS": str(self.folder / "runs"), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **more}
        with (self.folder / "output.log").open("a", encoding="utf-8") as output:
            return subprocess.Popen(
                self._line,
                cwd=self.root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

    def finish(self) -> int:
        """Give the same command until it has done all, as a person would; how often that took. RuntimeError when it never does."""
        for tried in range(1, TRIES + 1):
            if self.start().wait(timeout=SECONDS_AT_MOST) == 0:
                return tried
        raise RuntimeError(f"{self.folder} did not finish in {TRIES} tries: read its output.log.")

    def where(self) -> str:
        """What the run does now, read off its files: saving, evaluating, training, or nothing of these (starting)."""
        if any(self.trials.glob("*/attempts/*/checkpoints/.staging/checkpoint-*")):
            return "saving"
        if any(self.trials.glob("*/adapter")):
            staged = [*self.trials.glob("*/attempts/*/evaluation-*"), *self.trials.glob("*/attempts/*/staging/evaluation-*")]
            return "evaluating" if staged else "starting"
        return "training" if any(log.stat().st_size for log in self.trials.glob("*/attempts/*/train.jsonl")) else "starting"

    def result(self) -> Result:
        """What the run ended in."""
        (adapter,) = self.trials.glob("*/adapter/adapter_model.safetensors")
        metrics = sorted(self.trials.glob("*/evaluations/*/metrics.json"))
        if not metrics:
            raise RuntimeError(f"{self.folder} holds no evaluation.")
        return Result(file_digest(adapter), tuple(file_digest(path) for path in metrics))

    def steps_lost(self) -> int:
        """The most steps that an attempt had to do again of the ones before."""
        most, reached = 0, 0
        for log in sorted(self.trials.glob("*/attempts/*/train.jsonl")):
            steps = [json.loads(line)["step"] for line in log.read_text(encoding="utf-8").splitlines()]
            if steps:
                most, reached = max(most, reached + 1 - steps[0]), steps[-1]
        return most

    def attempts(self) -> int:
        """How many attempts it took."""
        return len(list(self.trials.glob("*/attempts/[0-9]*.json")))


def tree(pid: int) -> Iterator[int]:
    """The living processes below `pid`, itself first (Linux)."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and (stat := _stat(int(path.name))) is not None:
            parents.setdefault(int(stat[1]), []).append(int(path.name))
    queue = [pid]
    while queue:
        one = queue.pop(0)
        yield one
        queue.extend(parents.get(one, []))


def training_child(pid: int) -> int | None:
    """The process below `pid` that trains, None when there is none yet."""
    return next((one for one in tree(pid) if b"persona_exp.trial" in _words(one)), None)


def send(pid: int, number: int) -> None:
    """A signal to a process that may be gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def stopped(pid: int) -> bool:
    """SIGSTOP `pid` and wait until the kernel holds it; False when it is gone."""
    send(pid, signal.SIGSTOP)
    while (stat := _stat(pid)) is not None and stat[0] not in "ZX":
        if stat[0] in "Tt":
            return True
        time.sleep(0.0005)
    return False


def settings(engine: str) -> dict[str, Any]:
    """For the benchmarks' JSON."""
    return {"overrides": list(TINY), "methods": METHODS, "engine": engine, "threads": 1}


def _stat(pid: int) -> list[str] | None:
    """State, parent and the rest of /proc/PID/stat."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _words(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return []
