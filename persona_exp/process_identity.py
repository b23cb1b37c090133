"""Which process, machine and Slurm job this is, and whether the process of a record is gone."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def this_process() -> dict[str, Any]:
    """Return what `process_gone` needs to know of this process."""
    pid = os.getpid()
    return {"host": node_name(), "pid": pid, "process_started": process_started(pid), "pid_namespace": pid_namespace(), "uid": os.getuid()}


def process_gone(record: Mapping[str, Any]) -> bool | None:
    """Return whether the process of a record with `this_process` in it is gone; None where that cannot be seen from here.

    One host name may stand for several containers, each with process numbers of its own, and /proc may hide the processes of other
    users: what cannot be seen need not be gone.
    """
    if record.get("host") != node_name() or "pid" not in record or record.get("pid_namespace") not in (None, pid_namespace()):
        return None
    try:
        started = process_started(int(record["pid"]))
    except PermissionError:
        return None
    if started is not None and record.get("process_started") in (None, started):
        return False
    return True if record.get("uid") in (None, os.getuid()) or sees_other_users() else None


def this_job() -> dict[str, Any] | None:
    """Return the Slurm job that this process is part of; None outside one."""
    number = os.environ.get("SLURM_JOB_ID")
    if not number:
        return None
    task = os.environ.get("SLURM_ARRAY_TASK_ID", "")
    return {
        "id": number,
        "array_id": os.environ.get("SLURM_ARRAY_JOB_ID") or None,
        "task_id": int(task) if task.isdigit() else None,
        "restarts": int(os.environ.get("SLURM_RESTART_COUNT") or 0),
        "name": os.environ.get("SLURM_JOB_NAME", ""),
    }


def node_name() -> str:
    """Return this machine's name; Slurm's own where there is one, since several nodes may share a host name."""
    return os.environ.get("SLURMD_NODENAME") or os.uname().nodename


def process_started(pid: int) -> str | None:
    """Return when a process of this host started (kernel's count since boot, with the boot's id); None when there is none.

    With the number alone a later process that got the same number would pass for the old one.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *rest = stat.rpartition(")")[2].split()
    if state in "ZX":
        return None
    return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}:{rest[18]}"


def pid_namespace() -> int | None:
    """Return what tells this process's numbering of processes from a container's; None where the system does not say."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return None


def sees_other_users() -> bool:
    """Return whether /proc shows the processes of other users: mounted with hidepid it does not."""
    try:
        return os.getuid() == 0 or Path("/proc/1").stat().st_uid != os.getuid()
    except OSError:
        return False
