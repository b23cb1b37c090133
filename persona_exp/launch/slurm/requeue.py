"""The job that this process runs in: which it is, whether a person cancelled it, and how it gets another go."""

import re
from collections.abc import Sequence
from typing import Any

from persona_exp.launch.slurm.slurm_accounting import history
from persona_exp.launch.slurm.slurm_command import ask
from persona_exp.process_identity import this_job

# Words of scontrol for a job that ended for a reason of its own, while its processes still run.
_NOT_A_PERSON = ("TimeLimit", "NodeDown", "NonZeroExitCode", "RaisedSignal", "OutOfMemory", "BootFail", "DeadLine", "NodeFail")

# Between Slurm's TERM and its KILL are 30 seconds on most sites.
_SECONDS = 10

_FIELD = re.compile(r"(?:^|\s)([A-Za-z]+)=(\S*)")
_SQUEUE = {"JobState": "State", "Reason": "Reason", "Restarts": "RestartCnt", "PreemptTime": "PreemptTime"}
_WIDTH = 256

# Slurm may kill this process as soon as the job is requeued, and only then can its nodes be changed: both in one shell.
_REQUEUE = """scontrol requeue "$1" || exit
[ -n "$2" ] || exit 0
for again in 1 2 3 4 5; do scontrol update JobId="$1" ExcNodeList="$2" && exit 0; sleep 0.5; done
exit 0"""


def cancelled_by_user() -> bool:
    """Return whether a person has cancelled this job; False when that is not known.

    While its processes still run, Slurm shows a cancelled job as COMPLETING and hides the rest, and so it does with one that was requeued,
    preempted or out of time: those have one more restart, a preemption whose grace is over, or a reason.
    """
    job = this_job()
    shown = _shown(_label(job)) if job else None
    if job is None or shown is None:
        return False
    states = set(shown.get("JobState", "").split(","))
    if "CANCELLED" in states:
        return True
    if "COMPLETING" not in states or states & {"PREEMPTED", "TIMEOUT", "NODE_FAIL", "DEADLINE", "FAILED", "OUT_OF_MEMORY"}:
        return False
    accounted = _accounted(job)
    if accounted is not None:
        return accounted == "CANCELLED"
    requeued = int(shown.get("Restarts", "0")) > job["restarts"]
    return not requeued and shown.get("Reason", "None") not in _NOT_A_PERSON and not _grace_is_over(shown)


def requeue_this_job(exclude: Sequence[str] = ()) -> bool:
    """Put this job back into the queue, away from the nodes `exclude`; False where Slurm does not.

    Slurm then ends this job (TERM, and KILL after its KillWait): call it when everything is saved. A job that a person cancelled is
    not brought back: Slurm itself would do it. Nor is one that Slurm has requeued already.
    """
    job = this_job()
    if job is None:
        return False
    label = _label(job)
    shown = _shown(label)
    if shown is None or cancelled_by_user():
        return False
    if int(shown.get("Restarts", "0")) > job["restarts"]:
        return True
    before = shown.get("ExcNodeList", "(null)")
    nodes = ",".join([*([] if before == "(null)" else [before]), *exclude])
    answer = ask(["bash", "-c", _REQUEUE, "requeue", label, nodes if exclude else ""], seconds=90)
    return answer is not None and answer.code == 0


def _label(job: dict[str, Any]) -> str:
    return f"{job['array_id']}_{job['task_id']}" if job["array_id"] and job["task_id"] is not None else str(job["id"])


def _shown(label: str) -> dict[str, str] | None:
    """Return what Slurm shows of a job, under scontrol's names; by squeue where a compute node has no scontrol."""
    answer = ask(["scontrol", "show", "job", label, "--oneliner"], seconds=_SECONDS, epoch=True)
    if answer is not None:
        return dict(_FIELD.findall(answer.out)) if answer.code == 0 else None
    fields = ",".join(f"{name}:{_WIDTH}" for name in _SQUEUE.values())
    answer = ask(["squeue", "--noheader", f"--jobs={label}", "--states=all", f"--Format={fields}"], seconds=_SECONDS, epoch=True)
    if answer is None or answer.code or not answer.out.strip():
        return None
    line = answer.out.splitlines()[0]
    return {name: line[number * _WIDTH : (number + 1) * _WIDTH].strip() for number, name in enumerate(_SQUEUE)}


def _accounted(job: dict[str, Any]) -> str | None:
    """Return the state of this very run in the accounting, once it has ended there; None without accounting, or while it is behind."""
    runs = [run for run in history([_label(job)], seconds=_SECONDS) or () if run.id == job["id"] and run.name == job["name"]]
    last = runs[-1].state if runs else None
    return None if last in (None, "RUNNING", "PENDING", "COMPLETING", "SUSPENDED") else last


def _grace_is_over(shown: dict[str, str]) -> bool:
    """Return whether a preempted job was left the whole of its grace; a person may still cancel it before."""
    preempted, ended = shown.get("PreemptTime", ""), shown.get("EndTime", "")
    if not preempted.isdigit() or not ended.isdigit():
        return False
    answer = ask(["scontrol", "show", "partition", shown.get("Partition", "")], seconds=_SECONDS)
    grace = re.search(r"GraceTime=(\d+)", answer.out) if answer else None
    return grace is not None and int(ended) - int(preempted) >= int(grace[1])
