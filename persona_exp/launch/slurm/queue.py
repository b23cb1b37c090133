"""What Slurm says of jobs: those in its queue, and those that it has accounted for."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from persona_exp.launch.slurm.command import SEPARATOR, ask

_QUEUE_FIELDS = ("%A", "%i", "%F", "%K", "%T", "%r", "%N", "%L", "%j", "%k")
_HISTORY_FIELDS = ("JobIDRaw", "JobID", "State", "ExitCode", "NodeList", "ElapsedRaw", "AllocTRES", "Start", "End", "JobName")
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
        """The id that scontrol and scancel take for this job alone: `12`, `12_3`; for tasks that have not started, `12_[0-7]`."""
        if self.array_id is None:
            return self.id
        return f"{self.array_id}_{self.task_id}" if self.task_id is not None else f"{self.array_id}_[{self.tasks.split('%')[0]}]"


@dataclass(frozen=True)
class Ended:
    """One run of a job as sacct has it; a requeued job has several, and a reused id those of other jobs: compare `name`.

    `state` is one word (`CANCELLED`, also where sacct says by whom); `start` and `end` are seconds since 1970, None while not known.
    """

    id: str
    array_id: str | None
    task_id: int | None
    name: str
    state: str
    exit_code: int
    signal: int
    node: str | None
    elapsed_seconds: int
    alloc_gpus: int
    start: int | None
    end: int | None


def at_hand(command: str = "sbatch") -> bool:
    """Whether a Slurm command can be called here."""
    return shutil.which(command) is not None


def queued(names: Sequence[str], *, seconds: float = 30) -> list[Job] | None:
    """This user's jobs of these names that have not ended, in one call; None where Slurm does not tell within `seconds`."""
    if not names:
        return []
    named = [f"--name={','.join(names)}"] if len(names) <= _MOST_NAMES else []
    answer = ask(["squeue", "--me", "--noheader", *named, f"--format={SEPARATOR.join(_QUEUE_FIELDS)}"], seconds=seconds)
    if answer is None or answer.code:
        return None
    found = [_job(line) for line in answer.out.splitlines()]
    return [one for one in found if one is not None and one.name in set(names)]


def count(account: str | None = None, *, seconds: float = 30) -> int:
    """How many jobs this user has in the queue, each task of an array for itself as limits count them; 0 where Slurm does not tell."""
    told = [f"--account={account}"] if account else []
    answer = ask(["squeue", "--me", "--noheader", "--array", *told, "--format=%i"], seconds=seconds)
    return 0 if answer is None or answer.code else len(answer.out.split())


def nodes(partition: str | None, *, seconds: float = 30) -> set[str]:
    """The nodes of a partition (None: of all); empty where Slurm does not tell."""
    answer = ask(["sinfo", "--noheader", "--Node", *([f"--partition={partition}"] if partition else []), "--format=%N"], seconds=seconds)
    return set() if answer is None or answer.code else set(answer.out.split())


def job(id: str) -> Job | None:
    """One job, also for the minutes that Slurm remembers it after its end; None where it is not there or Slurm does not tell."""
    answer = ask(["squeue", "--noheader", f"--jobs={id}", "--states=all", f"--format={SEPARATOR.join(_QUEUE_FIELDS)}"])
    if answer is None or answer.code:
        return None
    return next((one for one in map(_job, answer.out.splitlines()) if one is not None), None)


def history(ids: Sequence[str], *, seconds: float = 60) -> list[Ended] | None:
    """Every run of these jobs and arrays, the oldest first, in one call; None without accounting. It is some seconds behind."""
    if not ids:
        return []
    fields = f"--format={','.join(_HISTORY_FIELDS)}"
    # Without --duplicates, sacct tells only the last run of a requeued job.
    command = ["sacct", "--duplicates", "--allocations", "--noheader", "--parsable2", f"--delimiter={SEPARATOR}", fields]
    answer = ask([*command, f"--jobs={','.join(ids)}"], seconds=seconds, epoch=True)
    if answer is None or answer.code:
        return None
    return [one for one in map(_ended, answer.out.splitlines()) if one is not None]


def _duration(text: str) -> int | None:
    """`1-02:03:04`, `03:04`: seconds; None for `UNLIMITED`, `NOT_SET` and the like."""
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


def _ended(line: str) -> Ended | None:
    fields = line.split(SEPARATOR, len(_HISTORY_FIELDS) - 1)
    if len(fields) < len(_HISTORY_FIELDS):
        return None
    id, label, state, exit_code, node, elapsed, resources, start, end, name = (field.strip() for field in fields)
    code, _, number = exit_code.partition(":")
    array, _, task = label.partition("_")
    return Ended(
        id=id,
        array_id=array if task else None,
        task_id=int(task) if task.isdigit() else None,
        name=name,
        state=state.split(" ")[0],
        exit_code=_number(code) or 0,
        signal=_number(number) or 0,
        node=None if node in ("", "None assigned") else node,
        elapsed_seconds=_number(elapsed) or 0,
        alloc_gpus=_gpus(resources),
        start=_number(start),
        end=_number(end),
    )


def _gpus(resources: str) -> int:
    """`cpu=4,gres/gpu=2,gres/gpu:a100=2`: 2. A site may count typed GPUs only."""
    counts = dict(part.split("=", 1) for part in resources.split(",") if "=" in part)
    typed = sum(_number(count) or 0 for name, count in counts.items() if name.startswith("gres/gpu:"))
    return _number(counts.get("gres/gpu", "")) or typed


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None
