"""A Slurm cluster of one's own to be cruel to: slurm/testbed in a folder that is thrown away."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.conftest import ROOT

SCRIPT = ROOT / "slurm" / "testbed" / "cluster.sh"
NEEDED = ("sbatch", "slurmctld", "slurmd", "slurmdbd", "munged", "mariadbd")
T = TypeVar("T")
SCRUBBED = ("SLURM_", "SBATCH_", "SQUEUE_", "SACCT_", "TESTBED_")
# On a machine that is busy with other things, everything takes this many times as long.
PATIENCE = float(os.environ.get("FAULTS_PATIENCE", "1"))
AS_USUAL = {"ACCOUNTING": "yes", "PREEMPT_SIGNAL": "yes"}


def missing() -> str | None:
    """Why there can be no cluster here; None where there can."""
    absent = [name for name in NEEDED if not _program(name)]
    if absent:
        return f"Slurm is not installed ({', '.join(absent)} missing): bash slurm/testbed/install.sh"
    return None if os.getuid() == 0 else "the testbed's daemons run as root"


def until(what: str, check: Callable[[], T | None], seconds: float = 60.0, pause: float = 0.05) -> T:
    """The first truthy answer of `check`; fails naming `what` after `seconds` (times PATIENCE)."""
    deadline = time.monotonic() + seconds * PATIENCE
    while True:
        answer = check()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(pause)


@dataclass(frozen=True)
class Cluster:
    """`folder` holds the cluster's state; its daemons listen on ports that were free when it was first started."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What Slurm's commands need to reach this cluster and no other."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(SCRUBBED)}
        return {**kept, "SLURM_CONF": str(self.conf)}

    @property
    def conf(self) -> Path:
        return self.folder / "etc" / "slurm.conf"

    def script(self, verb: str, **settings: str) -> None:
        """`cluster.sh VERB` with TESTBED_NAME=value settings; start brings back what is down, and restarts all for a new setting."""
        told = {f"TESTBED_{name}": value for name, value in settings.items()}
        environment = {**self.environment, "PERSONA_EXP_TESTBED": str(self.folder), **told}
        log = self.folder.with_suffix(".log")
        with log.open("ab") as output:
            code = subprocess.run(["bash", str(SCRIPT), verb], env=environment, stdout=output, stderr=output, check=False).returncode
        assert code == 0, f"cluster.sh {verb} ended with {code}:\n{log.read_text()[-2000:]}"

    def run(self, *command: str, check: bool = True) -> str:
        """Standard output of one of Slurm's commands."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60, check=False)
        assert not check or done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def jobs(self) -> list[tuple[str, str, str, str]]:
        """(id, name, state, node) of all that is in the queue; an array's element as JOB_TASK."""
        lines = self.run("squeue", "--noheader", "--array", "--format=%i|%j|%T|%N").splitlines()
        return [tuple(line.split("|")) for line in lines]  # type: ignore[misc]

    def daemon(self, name: str) -> int:
        """Process id of slurmctld, slurmdbd or slurmd.NODE."""
        return int((self.folder / "pid" / f"{name}.pid").read_text())

    def kill_daemon(self, name: str) -> None:
        pid = self.daemon(name)
        os.kill(pid, signal.SIGKILL)
        until(f"{name} is gone", lambda: not _runs(pid))

    def processes(self, job: str, *, node: str | None = None) -> dict[str, list[int]]:
        """Processes of the Slurm job `job` (the number, not ARRAY_TASK) by what they are: worker, child, srun, shell, stepd."""
        found: dict[str, list[int]] = {"worker": [], "child": [], "srun": [], "shell": [], "stepd": []}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                variables = (folder / "environ").read_bytes().split(b"\0")
                words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            if f"SLURM_CONF={self.conf}".encode() not in variables:
                continue
            kind = _kind(words, job)
            mine = kind == "stepd" or f"SLURM_JOB_ID={job}".encode() in variables
            if kind and mine and (node is None or kind == "stepd" or f"SLURMD_NODENAME={node}".encode() in variables):
                found[kind].append(int(folder.name))
        return found

    def number(self, job: str) -> str:
        """The job id of its own that the array element JOB_TASK has."""
        told = re.search(r"\bJobId=(\d+)", self.run("scontrol", "show", "job", job))
        assert told, job
        return told[1]

    def restore(self) -> None:
        """Empty queue, all daemons up, all nodes at work, slurm.conf as it was."""
        self.script("start", **AS_USUAL)
        self.run("scancel", "--user=root", check=False)
        nodes = self.run("sinfo", "--noheader", "--Node", "--partition=main", "--format=%N %T").splitlines()
        for node, state in (line.split() for line in nodes):
            if state.rstrip("*").lower() not in ("idle", "mixed", "allocated", "completing"):
                self.run("scontrol", "update", f"nodename={node}", "state=resume", check=False)
        until("the queue is empty", lambda: not self.jobs(), seconds=90, pause=0.5)
        self.script("start", **AS_USUAL)


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def _kind(words: str, job: str) -> str | None:
    if words.startswith(f"slurmstepd: [{job}."):
        return "stepd"
    if words.startswith("srun "):
        return "srun"
    if "persona_exp.launch.workers " in words:
        return "worker"
    if "persona_exp.trial" in words:
        return "child"
    return "shell" if "slurm_script" in words else None


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
