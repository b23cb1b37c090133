"""Sealed engine=noop trials for tests of what runs them, and records of attempts as others would have left them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from persona_exp.config.schema import Config
from persona_exp.launch.sweeps import submission_record, trial_set
from persona_exp.launch.sweeps.submission_record import Submission
from persona_exp.trial.attempt_records import attempt_files, read_record
from persona_exp.trial.seal import seal
from persona_exp.trial.trial_directory import TrialDirectory

SEAL = "0a1b2c3d.json"
BEAT = ("cluster.heartbeat_seconds=0.3", "cluster.lease_seconds=2")


def sealed(config: Callable[..., Config], folder: Path, number: int) -> list[str]:
    """`number` trials below `folder`/runs; their seals, relative to runs/trials."""
    one = replace(config("engine=noop", *BEAT), runs=str(folder / "runs"))
    made = [seal(replace(one, seed=seed), command="test").path for seed in range(number)]
    return [path.relative_to(folder / "runs" / "trials").as_posix() for path in made]


def submitted(folder: Path, tasks: Sequence[Sequence[str]], *, lease_seconds: float = 2.0, canary: bool = False) -> Submission:
    """A local submission of a sweep named `rehearsal`."""
    sweep_folder = folder / "runs" / "sweeps" / "rehearsal"
    options = {"launch": {"lease_seconds": lease_seconds, "n_jobs": 1}}
    made = submission_record.draft(sweep_folder, launcher="local", tasks=tasks, options=options, canary=canary)
    assert submission_record.create(made)
    trial_set.write(sweep_folder, [trial_set.SweepTrial(one, "a title", "noop") for task in tasks for one in task])
    return made


def worker(made: Submission, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
    """A worker process at a submission."""
    command = [sys.executable, "-m", "persona_exp.launch.workers", str(made.path), *arguments]
    return subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def attempts(folder: Path, seal: str) -> list[dict[str, Any]]:
    """What the attempts at a trial say."""
    return [read_record(path) for path in attempt_files(folder / "runs" / "trials" / seal.split("/")[0])]


def status(folder: Path, seal: str) -> str | None:
    """The status of a trial's last attempt; None before its first."""
    records = attempts(folder, seal)
    return str(records[-1]["status"]) if records else None


def until(holds: Callable[[], Any], seconds: float = 300) -> Any:
    """Wait for something to hold; what it was."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = holds()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s")


def running(folder: Path, seal: str) -> int:
    """Wait for a trial to run; its process."""

    def pid() -> Any:
        return status(folder, seal) == "running" and attempts(folder, seal)[-1]["pid"]

    return int(until(pid))


def stop(*processes: "subprocess.Popen[str]") -> None:
    """End what a test has left."""
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()


def recorded_trial(folder: Path, *records: dict[str, Any], may_halve: bool = True) -> TrialDirectory:
    """A trial whose attempts were these; numbers and what every record has are filled in."""
    trial = folder / "trials" / "0123456789ab"
    (trial / "attempts").mkdir(parents=True, exist_ok=True)
    (trial / "seals").mkdir(exist_ok=True)
    facts: dict[str, Any] = {"engine": "noop", "method": "lora", "evaluations": {}, "config": "config.yaml", "data_id": "noop-01234567"}
    facts |= {"code_folder": "0" * 12, "may": {"halve_micro_batch": may_halve}}
    (trial / "seals" / SEAL).write_text(json.dumps(facts))
    for number, record in enumerate(records, start=1):
        whole = {"attempt": number, "host": "elsewhere", "pid": 1, "process_started": "boot:1", "heartbeat": 0, "seal": SEAL, **record}
        (trial / "attempts" / f"{number:04}.json").write_text(json.dumps(whole))
    return TrialDirectory(trial)
