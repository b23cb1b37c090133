"""sacct: what Slurm has accounted for, run by run of a job."""

from collections.abc import Sequence
from dataclasses import dataclass

from persona_exp.launch.slurm.slurm_command import SEPARATOR, ask

_HISTORY_FIELDS = ("JobIDRaw", "JobID", "State", "ExitCode", "NodeList", "ElapsedRaw", "AllocTRES", "Start", "End", "JobName")


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


def history(ids: Sequence[str], *, seconds: float = 60, cluster: str | None = None) -> list[Ended] | None:
    """Return every run of these jobs and arrays, the oldest first, in one call; None without accounting. It is some seconds behind."""
    if not ids:
        return []
    fields = f"--format={','.join(_HISTORY_FIELDS)}"
    # Without --duplicates, sacct tells only the last run of a requeued job.
    command = ["sacct", "--duplicates", "--allocations", "--noheader", "--parsable2", f"--delimiter={SEPARATOR}", fields]
    answer = ask([*command, f"--jobs={','.join(ids)}"], seconds=seconds, epoch=True, cluster=cluster)
    if answer is None or answer.code:
        return None
    return [one for one in map(_ended, answer.out.splitlines()) if one is not None]


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
    """Return 2 for `cpu=4,gres/gpu=2,gres/gpu:a100=2`. A site may count typed GPUs only."""
    counts = dict(part.split("=", 1) for part in resources.split(",") if "=" in part)
    typed = sum(_number(count) or 0 for name, count in counts.items() if name.startswith("gres/gpu:"))
    return _number(counts.get("gres/gpu", "")) or typed


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None
