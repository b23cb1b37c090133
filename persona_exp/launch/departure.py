"""Leaving, and what becomes of those who left: jobs put back into the queue, causes of death, nodes to stay away from."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from persona_exp.errors import UserError
from persona_exp.launch.slurm.requeue import cancelled_by_user, requeue_this_job
from persona_exp.launch.submission import Submission
from persona_exp.trial.attempt import job as this_job
from persona_exp.trial.attempt import node, process_gone, process_started

# What sacct calls the end of a job, and what we call it.
CAUSES = {
    "NODE_FAIL": "node_failed",
    "PREEMPTED": "preempted",
    "REQUEUED": "preempted",
    "TIMEOUT": "time_limit",
    "DEADLINE": "time_limit",
    "OUT_OF_MEMORY": "out_of_memory",
    "CANCELLED": "cancelled",
    "FAILED": "killed",
}

# A node that failed so often under one sweep is kept out of the way of its jobs.
TWICE = 2


def come_back_later(submission: Submission, task: int) -> str | None:
    """Put this worker's job back into the queue, anew where it cannot be requeued; how, None where the keeper must see to it.

    A job that a person cancelled does not come back.
    """
    job = this_job()
    if submission.launcher != "slurm" or job is None or job["name"] != submission.job_name or cancelled_by_user():
        return None
    if requeue_this_job():
        return "requeued"
    from persona_exp.launch.submission import resubmit

    try:
        new = resubmit(submission, task)
    except UserError as error:
        return f"not submitted again ({error}); the sweep's keeper will"
    return f"submitted again as job {new}" if new else None


def go_elsewhere(submission: Submission) -> bool:
    """Where this node failed twice under the sweep: put the job back into the queue for another. False where it may as well run here."""
    job = this_job()
    if submission.launcher != "slurm" or job is None or job["name"] != submission.job_name:
        return False
    shunned = failed_twice(submission.sweep_folder)
    return node() in shunned and requeue_this_job(exclude=shunned)


def failed_twice(sweep_folder: Path) -> list[str]:
    """The hosts to keep the sweep's jobs away from."""
    return sorted(path.name for path in _nodes(sweep_folder).glob("*") if len(list(path.iterdir())) >= TWICE)


class Death(NamedTuple):
    """What an attempt without a last word died of; `proven` where somebody saw it."""

    cause: str
    message: str
    proven: bool


def death(record: Mapping[str, Any]) -> Death:
    """What a dead attempt died of: Slurm's word, as far as Slurm tells; else the likeliest."""
    job, restarted = record.get("job"), _restarted(record)
    if killed_here(record):
        return Death("killed", f"process {record['pid']} is gone from {record['host']}", True)
    if process_gone(record) and not restarted:
        return Death("node_failed", f"{record['host']} was started anew", True)
    from persona_exp.launch.slurm.queue import history

    for ended in reversed(history([str(job["id"])]) or []) if job else []:
        if job and ended.name == job["name"] and ended.node in (None, record["host"]) and ended.state in CAUSES:
            return Death(CAUSES[ended.state], f"Slurm says {ended.state} of job {job['id']} on {record['host']}", True)
    if restarted:
        return Death("preempted", "Slurm has started its job again", False)
    return Death("node_failed", f"{record['host']} has not been heard of for a lease", False)


def killed_here(record: Mapping[str, Any]) -> bool:
    """Whether a dead attempt was a process of this host that somebody killed: no restart of the machine nor of its job ended it."""
    return bool(process_gone(record) and not _restarted(record) and _boot(record["process_started"]) == _boot(process_started(os.getpid())))


def _restarted(record: Mapping[str, Any]) -> bool:
    """Whether it belongs to an earlier start of our own job."""
    job, ours = record.get("job"), this_job()
    return bool(job and ours and job["id"] == ours["id"] and int(ours["restarts"]) > int(job["restarts"]))


def note_failed_node(sweep_folder: Path, host: str, trial_id: str, attempt: int) -> None:
    """Remember that `host` failed under this attempt; one empty file each, so that a worker that starts counts without reading trials."""
    folder = _nodes(sweep_folder) / host
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{trial_id}-{attempt:04}").touch()


def _boot(process: str | None) -> str:
    """The part of a process's start that tells one start of the machine from another."""
    return (process or "").partition(":")[0]


def _nodes(sweep_folder: Path) -> Path:
    return sweep_folder / "failed-nodes"
