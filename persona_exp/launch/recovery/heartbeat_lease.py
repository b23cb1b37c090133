"""Whether an attempt recorded as running is alive, without trusting another host's clock.

Where its process would be seen, that decides. Elsewhere its heartbeat does: one that moves is alive; one that stands still for a lease
on our own monotonic clock is dead, unless the queue shows its job running where it ran.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from persona_exp.process_identity import process_gone

if TYPE_CHECKING:
    from persona_exp.launch.slurm.slurm_queue import Job

Liveness = Literal["alive", "dead", "unknown"]
AskQueue = Callable[[Sequence[str]], "Sequence[Job] | None"]

LEASE_SECONDS = 60.0
# One question to the queue stands for all attempts of so many seconds.
QUEUE_SECONDS = 15.0
GOING = frozenset({"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "CONFIGURING", "RESIZING"})


class Observer:
    """Remembers when each attempt's heartbeat was last seen to move. The same observer must be asked of an attempt again and again."""

    def __init__(self, lease_seconds: float = LEASE_SECONDS, *, job: Mapping[str, Any] | None = None, ask: AskQueue | None = None) -> None:
        """`job` is the `job` of this process's own attempts (process_identity.this_job); `ask` stands in for squeue in tests."""
        self.lease_seconds = lease_seconds
        self._job, self._ask = job, ask or _squeue
        self._seen: dict[tuple[Any, ...], tuple[int, float]] = {}
        self._shown: dict[str, tuple[float, Sequence[Job] | None]] = {}

    def liveness(self, record: Mapping[str, Any]) -> Liveness:
        """Return the state of this record's attempt; `unknown` until its heartbeat has moved or stood still for a lease."""
        if record["status"] != "running":
            return "dead"
        if self._superseded(record):
            return "dead"
        gone = process_gone(record)
        if gone is not None:
            return "dead" if gone else "alive"
        moved, still_seconds = self._watch(record)
        if moved:
            return "alive"
        shown = self._in_queue(record)
        if shown:
            return "alive"
        return "dead" if still_seconds >= self._lease(record) and shown is False else "unknown"

    def _superseded(self, record: Mapping[str, Any]) -> bool:
        """Return whether it is of an earlier start of our own job: Slurm has given that one up."""
        theirs, ours = record.get("job"), self._job
        return bool(theirs and ours and theirs["id"] == ours["id"] and int(theirs["restarts"] or 0) < int(ours["restarts"] or 0))

    def _watch(self, record: Mapping[str, Any]) -> tuple[bool, float]:
        """Return whether the heartbeat moved within the last lease, and for how many seconds it has stood still before our eyes."""
        key = (record.get("trial_id"), record["attempt"], record["host"], record["pid"], record["process_started"])
        now, count = time.monotonic(), int(record["heartbeat"])
        before = self._seen.get(key)
        if before is None:
            self._seen[key] = (count, now)
            return False, 0.0
        if before[0] != count:
            self._seen[key] = (count, now)
            return True, 0.0
        return False, now - before[1]

    def _lease(self, record: Mapping[str, Any]) -> float:
        # A trial sealed for a slower beat than this sweep's must not be taken for dead between two of its beats.
        return max(self.lease_seconds, 3 * float(record.get("heartbeat_seconds") or 0))

    def _in_queue(self, record: Mapping[str, Any]) -> bool | None:
        """Return whether the queue shows the attempt's job running where the attempt ran; None when Slurm does not say."""
        job = record.get("job")
        if not job:
            return False
        name = str(job["name"])
        asked = self._shown.get(name)
        if asked is None or time.monotonic() - asked[0] >= min(QUEUE_SECONDS, self.lease_seconds):
            asked = (time.monotonic(), self._ask([name]))
            self._shown[name] = asked
        if asked[1] is None:
            return None
        return any(_is(one, job) and one.state in GOING and one.node in (None, "", record["host"]) for one in asked[1])


def _is(shown: "Job", job: Mapping[str, Any]) -> bool:
    """Return whether the queue's job is the record's: Slurm names an array element by array and place, and by a number of its own."""
    if shown.id == str(job["id"]):
        return True
    array = job.get("array_id")
    return bool(array and shown.task_id is not None and shown.array_id == str(array) and str(shown.task_id) == str(job.get("task_id")))


def _squeue(names: Sequence[str]) -> "Sequence[Job] | None":
    from persona_exp.launch.slurm.slurm_queue import at_hand, queued

    # Where there is no squeue, no queue shows anything: the lease alone decides.
    return queued(names) if at_hand("squeue") else ()
