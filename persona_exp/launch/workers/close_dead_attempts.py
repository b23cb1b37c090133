"""The end of a training process as its attempts record it: written for it where it died without."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from persona_exp import atomic_files
from persona_exp.launch.recovery.retry_decision import STOPS, decide_after_death
from persona_exp.launch.slurm.verified_start import CODE_CHANGED
from persona_exp.launch.workers.training_process import ProcessExit
from persona_exp.process_identity import node_name, this_job
from persona_exp.trial.attempt_claim_and_heartbeat import claim, close_attempt
from persona_exp.trial.attempt_records import attempt_files, read_record
from persona_exp.trial.seal_verification import AGAIN
from persona_exp.trial.training_child import DISK_FULL
from persona_exp.trial.trial_directory import TrialDirectory


@dataclass(frozen=True)
class ProcessEnd:
    """Closes the attempts of one child that has ended: `signal` is what its worker had got by then, `at_once`: a second one killed it."""

    exit: ProcessExit
    at_once: bool = False
    signal: str | None = None

    def close_attempt(self, directory: TrialDirectory, seal_name: str) -> dict[str, Any] | None:
        """Return the record of the child's attempt at a trial, closed where it died without; None when it made none."""
        found = attempt_of(directory, self.exit.pid, self.exit.started)
        if found is None:
            return None
        path, record = found
        if record["status"] == "running":
            close_dead(directory, seal_name, path, *self.reason)
        elif path == attempt_files(directory.path)[-1]:
            fail_if_stopped_too_often(directory, seal_name)
        return read_record(path)

    @property
    def reason(self) -> tuple[str, str]:
        """(cause, message) of an end that was not recorded."""
        if self.at_once:
            return "signal", "stopped at once by a second SIGINT"
        if self.exit.memory:
            return "out_of_memory", "the kernel killed it: the job has used all the memory that it was given"
        if self.exit.code == DISK_FULL:
            return "disk_full", "the disk was full, and its end could not be recorded"
        if self.signal:
            return "signal", f"{self.signal}, and {self.exit.how} before it had saved"
        return "killed", f"its process ended by {self.exit.how} without a last word"

    def never_began(self, directory: TrialDirectory, seal_name: str) -> dict[str, Any] | None:
        """Record that the child ended before it could claim the trial; return None when another claimed it. Raise OSError."""
        claimed = claim(directory.attempts, seal=seal_name)
        if claimed is None:
            return None
        if self.exit.code == CODE_CHANGED:
            where = f"its folder in {directory.runs / 'code'} is not the code that was sealed"
            message = f"Trial {directory.trial_id} refuses to run: {where}; {AGAIN}."
            claimed.end("failed", cause="seal", message=message)
            return claimed.record
        message = f"the training process ended by {self.exit.how} before it began; its worker's log has its words"
        claimed.end("failed", cause="start", message=message)
        return claimed.record


def close_dead(directory: TrialDirectory, seal_name: str, path: Path, cause: str, message: str) -> None:
    """Close an attempt that died of `cause`: its trial has failed where that was once too often."""
    decision = decide_after_death(directory, seal_name, cause)
    if decision.next == "failed":
        close_attempt(path, cause, f"{message}; {decision.why}", status="failed")
    else:
        close_attempt(path, cause, message)


def fail_if_stopped_too_often(directory: TrialDirectory, seal_name: str) -> None:
    """Record the trial as failed, and why, where its last attempt was stopped, by its own record, once too often."""
    path = attempt_files(directory.path)[-1]
    record = read_record(path)
    if record["status"] != "interrupted" or record.get("cause") not in STOPS:
        return
    decision = decide_after_death(directory, seal_name, str(record["cause"]))
    if decision.next == "failed":
        atomic_files.write_json(path, {**record, "status": "failed", "message": f"{record.get('message')}; {decision.why}"})


def attempt_of(directory: TrialDirectory, pid: int | None, started: str | None) -> tuple[Path, dict[str, Any]] | None:
    """Return the newest attempt that this process of this host made; it need not be the trial's last, where it was fenced.

    `started` (process_identity.process_started) tells it from an earlier process of the same number; None where that is not known.
    """
    for path in reversed(attempt_files(directory.path)):
        record = read_record(path)
        if (record.get("pid"), record["host"]) == (pid, node_name()) and (started is None or record.get("process_started") == started):
            return path, record
    return None


def displaced(directory: TrialDirectory) -> bool:
    """Return whether the trial's last attempt belongs to a later start of this very job: then Slurm has given our node to others."""
    ours, found = this_job(), attempt_files(directory.path)
    theirs = read_record(found[-1]).get("job") if found else None
    return bool(ours and theirs and ours["id"] == theirs["id"] and int(theirs["restarts"]) > int(ours["restarts"]))
