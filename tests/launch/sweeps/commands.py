"""The person's command on a fake cluster, and what came of it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from persona_exp.launch.slurm import slurm_queue
from persona_exp.launch.sweeps import submission_record, trial_set
from persona_exp.process_identity import this_process
from tests.conftest import ROOT, environment
from tests.slurm.site import Site

TRIALS = 4


class Commands:
    """The person's command and what came of it."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site, self.folder, self.runs = site, folder, folder / "runs"
        self.calls_before = len(self._calls())

    def start(self, *more: str, trials: int = TRIALS, path: Path | None = None) -> "subprocess.Popen[str]":
        command = [sys.executable, str(ROOT / "run.py"), "-m", f"seed=range({trials})", "engine=noop", "model=tiny", "hydra/launcher=slurm"]
        command += ["cluster=testbed", "hydra.launcher.partition=null", "hydra.launcher.trials_per_task=1", *more]
        told = {**environment(self.folder), **self.site.environment, "PERSONA_EXP_RUNS": str(self.runs), "COLUMNS": "200"}
        if path:
            told["PATH"] = f"{path}:{told['PATH']}"
        return subprocess.Popen(command, cwd=ROOT, env=told, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, *more: str, **settings: Any) -> tuple[int, str]:
        process = self.start(*more, **settings)
        output, _ = process.communicate(timeout=300)
        return process.returncode, output

    @property
    def sweep(self) -> Path:
        (folder,) = (self.runs / "sweeps").iterdir()
        return folder

    def submissions(self) -> list[submission_record.Submission]:
        return submission_record.all_submissions(self.sweep)

    def finished(self) -> int:
        return len(list(self.runs.glob("trials/*/adapter/noop.json")))

    def attempts(self) -> int:
        return len(list(self.runs.glob("trials/*/attempts/*.json")))

    def sbatch_calls(self) -> int:
        return sum(call.startswith("sbatch") for call in self._calls()[self.calls_before :])

    def jobs(self) -> list[slurm_queue.Job]:
        return slurm_queue.queued([one.job_name for one in self.submissions()]) or []

    def _calls(self) -> list[str]:
        return self.site.run("fakeslurm", "calls").splitlines()


def repair(commands: Commands) -> None:
    for node in ("node1", "node2", "node3"):
        commands.site.repair(node)


def attempted(commands: Commands, *, host: str | None = None) -> None:
    """An attempt without a last word at every trial: on `host`, or of this living process."""
    process = {**this_process(), **({"host": host} if host else {})}
    for one in trial_set.read(commands.sweep):
        path = one.directory(commands.sweep).path / "attempts" / "0001.json"
        record = {"attempt": 1, "status": "running", "seal": one.seal_name, "heartbeat": 3, "heartbeat_seconds": 0.5, **process}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record))


def deadly(folder: Path, *, call: int, after: bool) -> Path:
    """A folder for PATH whose sbatch kills its caller at the given call, before Slurm hears of it or after."""
    path = folder / "deadly"
    path.mkdir()
    script = path / "sbatch"
    count, own = path / "calls", f"export PATH=${{PATH#{path}:}}"
    kill = "kill -9 $PPID"
    act = f'sbatch "$@"; {kill}' if after else kill
    script.write_text(
        f'#!/bin/sh\n{own}\necho >> {count}\nif [ $(wc -l < {count}) -eq {call} ]; then {act}; exit 1; fi\nexec sbatch "$@"\n'
    )
    script.chmod(0o755)
    return path
