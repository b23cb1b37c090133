"""squeue: the jobs in the queue, by name or number, and the nodes of a partition."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from persona_exp.errors import UserError
from persona_exp.launch.slurm.slurm_command import SEPARATOR, ask, cluster_of

_QUEUE_FIELDS = ("%A", "%i", "%F", "%K", "%T", "%r", "%N", "%L", "%j", "%k")
_TIME = re.compile(r"(?:(?:(?P<days>\d+)-)?(?P<hours>\d+):)?(?P<minutes>\d+):(?P<seconds>\d+)")
_PENDING_ARRAY = re.compile(r"\d+_\[(?P<tasks>[^\]]*)\]?")

# More names than this would be longer than a command line may be; then the whole queue of the user is read.
_MOST_NAMES = 500


@dataclass(frozen=True)
class Job:
    """A job or array task in the queue; or, with `tasks`, all tasks of an array that have not started (`"0-7,9%4"`; it may be cut short).

    `id` is what the job sees as SLURM_JOB_ID. `state` is Slurm's word (`PENDING`, `RUNNING`, `COMPLETING`, …).
    """

    id: str
    array_id: str | None
    task_id: int | None
    name: str
    state: str
    reason: str
    node: str | None
    seconds_left: int | None
    comment: str
    tasks: str = ""

    @property
    def label(self) -> str:
        """Return the id that scontrol and scancel take for this job alone: `12`, `12_3`; for tasks that have not started, `12_[0-7]`."""
        if self.array_id is None:
            return self.id
        return f"{self.array_id}_{self.task_id}" if self.task_id is not None else f"{self.array_id}_[{self.tasks.split('%')[0]}]"


def at_hand(command: str = "sbatch") -> bool:
    """Return whether a Slurm command can be called here."""
    return shutil.which(command) is not None


def require_slurm() -> None:
    """Raise UserError where jobs cannot be submitted from here."""
    if not at_hand("sbatch"):
        raise UserError(
            "hydra/launcher=slurm needs Slurm, and there is no sbatch here: run it on a login node, or leave hydra/launcher out."
        )


def queued(names: Sequence[str], *, seconds: float = 30) -> list[Job] | None:
    """Return this user's jobs of these names that have not ended, in one call; None where Slurm does not tell within `seconds`."""
    if not names:
        return []
    found: list[Job] = []
    for cluster in {cluster_of(name): None for name in names}:
        there = [name for name in names if cluster_of(name) == cluster]
        named = [f"--name={','.join(there)}"] if len(there) <= _MOST_NAMES else []
        fields = f"--format={SEPARATOR.join(_QUEUE_FIELDS)}"
        answer = ask(["squeue", "--me", "--noheader", *named, fields], seconds=seconds, cluster=cluster)
        if answer is None or answer.code:
            return None
        found += [one for one in map(_job, answer.out.splitlines()) if one is not None and one.name in set(there)]
    return found


def count(account: str | None = None, *, seconds: float = 30, cluster: str | None = None) -> int:
    """Return how many jobs this user has in the queue, each task of an array counted, as limits do; 0 where Slurm does not tell."""
    account_option = [f"--account={account}"] if account else []
    command = ["squeue", "--me", "--noheader", "--array", *account_option, "--format=%i"]
    answer = ask(command, seconds=seconds, cluster=cluster)
    return 0 if answer is None or answer.code else len(_lines(answer.out))


def nodes(partition: str | None, *, seconds: float = 30, cluster: str | None = None) -> set[str]:
    """Return the nodes of a partition (None: of all); empty where Slurm does not tell."""
    command = ["sinfo", "--noheader", "--Node", *([f"--partition={partition}"] if partition else []), "--format=%N"]
    answer = ask(command, seconds=seconds, cluster=cluster)
    return set() if answer is None or answer.code else set(_lines(answer.out))


def _lines(out: str) -> list[str]:
    """Return the lines of an answer without the heading that some releases give another cluster's."""
    return [line.strip() for line in out.splitlines() if line.strip() and not line.startswith("CLUSTER:")]


def job(id: str, *, cluster: str | None = None) -> Job | None:
    """Return one job, also for the minutes that Slurm remembers it after its end; None where it is not there or Slurm does not tell."""
    fields = f"--format={SEPARATOR.join(_QUEUE_FIELDS)}"
    answer = ask(["squeue", "--noheader", f"--jobs={id}", "--states=all", fields], cluster=cluster)
    if answer is None or answer.code:
        return None
    return next((one for one in map(_job, answer.out.splitlines()) if one is not None), None)


def _duration(text: str) -> int | None:
    """Return the seconds of `1-02:03:04` or `03:04`; None for `UNLIMITED`, `NOT_SET` and the like."""
    found = _TIME.fullmatch(text.strip())
    if not found:
        return None
    days, hours, minutes, rest = (int(found[name] or 0) for name in ("days", "hours", "minutes", "seconds"))
    return ((days * 24 + hours) * 60 + minutes) * 60 + rest


def _job(line: str) -> Job | None:
    fields = line.split(SEPARATOR, len(_QUEUE_FIELDS) - 1)
    if len(fields) < len(_QUEUE_FIELDS):
        return None
    id, label, array, index, state, reason, node, left, name, comment = (field.strip() for field in fields)
    pending = _PENDING_ARRAY.fullmatch(label)
    return Job(
        id=id,
        array_id=array if "_" in label else None,
        task_id=int(index) if "_" in label and not pending and index.isdigit() else None,
        name=name,
        state=state,
        reason=reason,
        node=node or None,
        seconds_left=_duration(left),
        comment="" if comment == "(null)" else comment,
        tasks=pending["tasks"] if pending else "",
    )
