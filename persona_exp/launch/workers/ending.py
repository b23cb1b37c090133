"""What the end of a child came to: its attempts' last words, spoken for it where it could not."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from persona_exp import files
from persona_exp.launch.judgement.retry import STOPS, after_death
from persona_exp.launch.workers.child import Outcome
from persona_exp.trial.attempt import claim, close, node
from persona_exp.trial.attempt import job as this_job
from persona_exp.trial.directory import Directory
from persona_exp.trial.record import attempt_files, read_record


@dataclass(frozen=True)
class Word:
    """The end of one child: `asked` is the signal that its worker had got by then, `at_once` says that a second one killed it."""

    outcome: Outcome
    at_once: bool = False
    asked: str | None = None

    def of(self, directory: Directory, seal_name: str) -> dict[str, Any] | None:
        """What the child's attempt at a trial came to, closed where it died without a word; None when it made none."""
        found = attempt_of(directory, self.outcome.pid, self.outcome.started)
        if found is None:
            return None
        path, record = found
        if record["status"] == "running":
            close_dead(directory, seal_name, path, *self.reason)
        elif path == attempt_files(directory.path)[-1]:
            fail_if_last_straw(directory, seal_name)
        return read_record(path)

    @property
    def reason(self) -> tuple[str, str]:
        """(cause, message) of a death without a last word."""
        if self.at_once:
            return "signal", "stopped at once by a second SIGINT"
        if self.outcome.memory:
            return "out_of_memory", "the kernel killed it: the job has used all the memory that it was given"
        if self.asked:
            return "signal", f"{self.asked}, and {self.outcome.how} before it had saved"
        return "killed", f"its process ended by {self.outcome.how} without a last word"

    def never_began(self, directory: Directory, seal_name: str) -> dict[str, Any] | None:
        """Record that the child ended before it could claim the trial; None when another claimed it. Raises OSError."""
        claimed = claim(directory.attempts, seal=seal_name)
        if claimed is None:
            return None
        message = f"the training process ended by {self.outcome.how} before it began; its worker's log has its words"
        claimed.end("failed", cause="start", message=message)
        return claimed.record


def close_dead(directory: Directory, seal_name: str, path: Path, cause: str, message: str) -> None:
    """The last word for an attempt that died of `cause`: with it its trial has failed where it is the last straw."""
    told = after_death(directory, seal_name, cause)
    if told.next == "failed":
        close(path, cause, f"{message}; {told.why}", status="failed")
    else:
        close(path, cause, message)


def fail_if_last_straw(directory: Directory, seal_name: str) -> None:
    """Where the trial's last attempt was stopped, as it says itself, once too often: have it say that the trial has failed, and why."""
    path = attempt_files(directory.path)[-1]
    record = read_record(path)
    if record["status"] != "interrupted" or record.get("cause") not in STOPS:
        return
    told = after_death(directory, seal_name, str(record["cause"]))
    if told.next == "failed":
        files.write_json(path, {**record, "status": "failed", "message": f"{record.get('message')}; {told.why}"})


def attempt_of(directory: Directory, pid: int | None, started: str | None) -> tuple[Path, dict[str, Any]] | None:
    """The newest attempt that this process of this host made; it need not be the trial's last, where it was fenced.

    `started` (trial.attempt.process_started) tells it from an earlier process of the same number; None where that is not known.
    """
    for path in reversed(attempt_files(directory.path)):
        record = read_record(path)
        if (record["pid"], record["host"]) == (pid, node()) and (started is None or record.get("process_started") == started):
            return path, record
    return None


def displaced(directory: Directory) -> bool:
    """Whether the trial's last attempt belongs to a later start of this very job: then Slurm has given our node to others."""
    ours, found = this_job(), attempt_files(directory.path)
    theirs = read_record(found[-1]).get("job") if found else None
    return bool(ours and theirs and ours["id"] == theirs["id"] and int(theirs["restarts"]) > int(ours["restarts"]))
