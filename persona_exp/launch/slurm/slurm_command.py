"""One call of a Slurm command: with a time limit, and with none of the settings of a job around it."""

import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

PREFIXES = ("SLURM_", "SBATCH_", "SRUN_", "SALLOC_", "SQUEUE_", "SACCT_", "SCANCEL_", "SCONTROL_", "SINFO_")
# What run.py has set for itself, to have Hydra raise its errors.
DROPPED = ("HYDRA_FULL_ERROR",)
# Which cluster to speak to, and as whom.
KEPT = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT")

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)

# Between fields: no name or comment holds it, as they may hold a bar or a comma.
SEPARATOR = "\x1f"


@dataclass(frozen=True)
class Answer:
    """What a command wrote, and its exit code."""

    code: int
    out: str
    error: str

    @property
    def reason(self) -> str:
        """Return the command's own words on why it failed, on one line, without its name in front."""
        lines = [line.split("error:", 1)[-1].split("fatal:", 1)[-1].strip() for line in (self.error or self.out).splitlines()]
        return "; ".join(line.rstrip(".") for line in lines if line) or f"exit code {self.code}"


def runs_on(cluster: str) -> bool:
    """Return whether this process is in a job of `cluster`, whose commands ask it by themselves."""
    return os.environ.get("SLURM_CLUSTER_NAME") == cluster


def environment() -> dict[str, str]:
    """Return this process's environment without what Slurm puts into a job: a nested sbatch would take it for options of its own.

    sbatch hands the rest to its jobs.
    """
    return {name: value for name, value in os.environ.items() if name in KEPT or not name.startswith((*PREFIXES, *DROPPED))}


def cluster_of(job_name: str) -> str | None:
    """Return the cluster of a job, with which its name ends where one was named; None for the one that commands ask by themselves."""
    return job_name.partition("@")[2] or None


def ask(command: Sequence[str], *, seconds: float = 30, epoch: bool = False, cluster: str | None = None) -> Answer | None:
    """Run `command` and return its answer; None where it is not installed or has not answered after `seconds` (a controller is down).

    With `epoch`, it tells times as seconds since 1970: Slurm's own format has no time zone. `cluster` is asked instead of this one.
    """
    if cluster and not runs_on(cluster):
        command = [command[0], f"--clusters={cluster}", *command[1:]]
    shown = {**environment(), **({"SLURM_TIME_FORMAT": "%s"} if epoch else {})}
    try:
        process = _start_with_signals_blocked(command, shown)
    except (FileNotFoundError, PermissionError):
        return None
    with process:
        try:
            out, error = process.communicate(timeout=seconds)
        except BaseException as failure:
            process.kill()
            if isinstance(failure, subprocess.TimeoutExpired):
                return None
            raise
    # One that was killed has answered nothing.
    return Answer(process.returncode, out, error) if process.returncode >= 0 else None


def _start_with_signals_blocked(command: Sequence[str], shown: dict[str, str]) -> "subprocess.Popen[str]":
    """Start `command` with signals blocked, which a process inherits from its parent (dash lets them through again, bash does not).

    In a job, Slurm sends its TERM to every process, and more than once: a command that is to tell whether a person cancelled the job
    would die of it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        return subprocess.Popen(
            list(command),
            env=shown,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
