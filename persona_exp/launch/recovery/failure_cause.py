"""The failure cause of an attempt that ended without recording one."""

import os
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from persona_exp.process_identity import process_gone, process_started, this_job

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

_FIELD = re.compile(r"(?:^|\s)([A-Za-z]+)=(\S*)")
_SECONDS = 10


class FailureCause(NamedTuple):
    """Why an attempt ended that recorded no end; `proven` where that was seen."""

    cause: str
    message: str
    proven: bool


def failure_cause(record: Mapping[str, Any]) -> FailureCause:
    """Return the cause of a dead attempt: Slurm's word, as far as Slurm tells; else the likeliest."""
    job, restarted = record.get("job"), _restarted(record)
    if killed_here(record):
        return FailureCause("killed", f"process {record['pid']} is gone from {record['host']}", True)
    if process_gone(record) and not restarted:
        return FailureCause("node_failed", f"{record['host']} was started anew", True)
    from persona_exp.launch.slurm.slurm_accounting import history
    from persona_exp.launch.slurm.slurm_command import cluster_of

    for ended in reversed(history([str(job["id"])], cluster=cluster_of(job["name"])) or []) if job else []:
        if job and ended.name == job["name"] and ended.node in (None, record["host"]) and ended.state in CAUSES:
            return FailureCause(CAUSES[ended.state], f"Slurm says {ended.state} of job {job['id']} on {record['host']}", True)
    lost = _node_lost(record, restarted) if job else None
    if lost:
        return FailureCause("node_failed", lost, True)
    if restarted:
        return FailureCause("preempted", "Slurm has started its job again", False)
    return FailureCause("node_failed", f"{record['host']} has not been heard of for a lease", False)


def killed_here(record: Mapping[str, Any]) -> bool:
    """Return whether a dead attempt was a process of this host that was killed: no restart of the machine nor of its job ended it."""
    return bool(process_gone(record) and not _restarted(record) and _boot(record["process_started"]) == _boot(process_started(os.getpid())))


def _node_lost(record: Mapping[str, Any], restarted: bool) -> str | None:
    """Return how Slurm shows the node that an attempt was lost with: down, or started anew since; None where it shows neither."""
    from persona_exp.launch.slurm.slurm_command import ask, cluster_of

    host, cluster = str(record["host"]), cluster_of(record["job"]["name"])
    answer = ask(["scontrol", "show", "node", host, "--oneliner"], seconds=_SECONDS, epoch=True, cluster=cluster)
    shown = dict(_FIELD.findall(answer.out)) if answer is not None and answer.code == 0 else {}
    states, boot = set(re.findall("[A-Z_]+", shown.get("State", ""))), shown.get("BootTime", "")
    if "DOWN" in states:
        return f"Slurm shows {host} as down"
    # A node of the cloud is switched off when its job has left, for whatever reason.
    if restarted or "CLOUD" in states or not boot.isdigit() or not record.get("started"):
        return None
    return f"Slurm says that {host} was started anew" if int(boot) > datetime.fromisoformat(record["started"]).timestamp() else None


def _restarted(record: Mapping[str, Any]) -> bool:
    """Return whether it belongs to an earlier start of our own job."""
    job, ours = record.get("job"), this_job()
    return bool(job and ours and job["id"] == ours["id"] and int(ours["restarts"]) > int(job["restarts"]))


def _boot(process: str | None) -> str:
    """Return the part of a process's start that tells one start of the machine from another."""
    return (process or "").partition(":")[0]
