"""A submission: one planned set of tasks of one sweep, its record created exclusively before Slurm hears of it.

The record, not a job id, says what was asked for: Slurm may lose a job and give its number to another user's, so that jobs are known by
their name, which no other submission has. All worker jobs of a submission bear its `job_name` and say in their comment at which task
they begin; the keeper's name has an addition of its own. Where a site has several clusters and one was named, the name ends with it.
"""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from persona_exp import atomic_files
from persona_exp.damaged_records import Damaged, parsed_json, record_bytes, set_aside
from persona_exp.errors import UserError
from persona_exp.launch.recovery.heartbeat_lease import LEASE_SECONDS
from persona_exp.process_identity import process_gone, this_process
from persona_exp.trial.attempt_claim_and_heartbeat import utc_now
from persona_exp.trial.folder_ids import is_id, is_seal_path

if TYPE_CHECKING:
    from persona_exp.launch.slurm.slurm_queue import Job

Launcher = Literal["local", "slurm"]
Who = Literal["person", "keeper", "worker"]
FOLDER = "submissions"
# So long a maker that cannot be seen from here is given between its record and its last sbatch.
MAKING_SECONDS = 60.0
# What squeue and scancel are given as a name, and no list of names: with the prefix of hydra.launcher.name, and @ a cluster.
JOB_NAME = re.compile(r"[A-Za-z0-9._=+-]+(?:@[A-Za-z0-9._-]+)?")


@dataclass(frozen=True)
class Submission:
    """`tasks` hold the seals of each task, as paths relative to runs/trials; `by` says who made it, where and when.

    `options` are sbatch's under submitit's names, and below "launch" our own: what a later round needs to submit the same way again.
    """

    path: Path
    sweep: str
    number: int
    launcher: Launcher
    tasks: tuple[tuple[str, ...], ...]
    options: dict[str, Any] = field(hash=False)
    by: dict[str, Any] = field(hash=False)
    job_name: str
    canary: bool

    @property
    def folder(self) -> Path:
        """Its sbatch scripts, jobs.json and Slurm's own output."""
        return self.path.with_suffix("")

    @property
    def logs(self) -> Path:
        """Where Slurm and the workers write their output."""
        return self.folder / "logs"

    @property
    def code(self) -> Path:
        """The code snapshot that its jobs run."""
        return (self.runs / "code" / str(self.options["launch"]["code_folder"])).absolute()

    @property
    def lease_seconds(self) -> float:
        """So many seconds a heartbeat of its trials must stand still before they are taken for dead."""
        return float(self.options.get("launch", {}).get("lease_seconds", LEASE_SECONDS))

    @property
    def sweep_folder(self) -> Path:
        return self.path.parent.parent

    @property
    def runs(self) -> Path:
        return self.sweep_folder.parent.parent

    @property
    def keeper_name(self) -> str:
        name, at, cluster = self.job_name.partition("@")
        return f"{name}-keeper{at}{cluster}"

    @property
    def trial_ids(self) -> tuple[str, ...]:
        return tuple(seal.split("/")[0] for task in self.tasks for seal in task)


def draft(
    sweep_folder: Path,
    *,
    launcher: Launcher,
    tasks: Sequence[Sequence[str]],
    options: dict[str, Any],
    canary: bool,
    after: int | None = None,
    who: Who = "person",
    progress: Sequence[int] = (),
) -> Submission:
    """Return the submission that follows number `after` (None: the latest there is); write nothing.

    Read `after` before working out what is left to submit: then the loser of the race to create it knows that its list is out of date.
    `progress` is what the sweep had reached, for the keeper to see whether a round brought anything.
    """
    number = (last_number(sweep_folder) if after is None else after) + 1
    by = {"who": who, **this_process(), "at": utc_now(), "progress": list(progress)}
    folder = sweep_folder.absolute()
    prefix, cluster = options.get("launch", {}).get("name"), options.get("sbatch", {}).get("clusters")
    token = atomic_files.digest([str(folder.resolve()), number, by, os.urandom(8).hex()])[:8]
    return Submission(
        path=_path(folder, number),
        sweep=folder.name,
        number=number,
        launcher=launcher,
        tasks=tuple(tuple(task) for task in tasks),
        options=options,
        by=by,
        job_name=f"{f'{prefix}-' if prefix else ''}pe-{token}-{number}{f'@{cluster}' if cluster else ''}",
        canary=canary,
    )


def create(submission: Submission) -> bool:
    """Create the record of a draft; return False when another made the one of its number first."""
    record = {one.name: getattr(submission, one.name) for one in fields(submission) if one.name != "path"}
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    # What readers would take for damaged has jobs that nobody finds again.
    _from_record(submission.path, json.loads(text))
    return atomic_files.create_text(submission.path, text)


def read(path: Path) -> Submission:
    """Return the submission of this record. Raise Damaged where it cannot be read, UserError where there is none."""
    try:
        return _from_record(path.absolute(), parsed_json(record_bytes(path)))
    except FileNotFoundError:
        raise UserError(f"There is no submission at {path}; give one of runs/sweeps/NAME/submissions/NUMBER.json.") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        again = "run the sweep's command again, which submits what is left and keeps this file beside it"
        raise Damaged(f"{path} is damaged: {again}.") from error


def numbers(sweep_folder: Path) -> list[int]:
    """Return the numbers of the sweep's submissions, ascending."""
    return sorted(int(path.stem) for path in (sweep_folder / FOLDER).glob("[0-9]*.json") if path.stem.isdigit())


def last_number(sweep_folder: Path) -> int:
    """Return the highest number that a submission's record has, or had before it was set aside: its folder stays; 0 without any."""
    names = (path.name.partition(".")[0] for path in (sweep_folder / FOLDER).glob("[0-9]*"))
    return max((int(name) for name in names if name.isdigit()), default=0)


def latest_submission(sweep_folder: Path) -> Submission | None:
    """Return the sweep's newest submission; None without any."""
    found = all_submissions(sweep_folder)
    return found[-1] if found else None


def all_submissions(sweep_folder: Path) -> list[Submission]:
    """Return the sweep's submissions that can be read, oldest first. No job runs on a damaged one: what it listed has lost its job."""
    return [one for one in _each(sweep_folder) if isinstance(one, Submission)]


def damaged_submissions(sweep_folder: Path) -> list[str]:
    """Return a sentence for each record of a submission, or of its jobs, that cannot be read."""
    found = _each(sweep_folder)
    jobs = [one.folder / "jobs.json" for one in found if isinstance(one, Submission) and _noted(one) is None]
    return [
        *(str(one) for one in found if isinstance(one, Damaged)),
        *(f"{path} is damaged: nothing is to be done, for jobs are found by their name." for path in jobs),
    ]


def set_damaged_aside(sweep_folder: Path) -> list[Path]:
    """Rename the damaged records of submissions, for a person who gives the command again; return their new paths."""
    kept = [set_aside(_path(sweep_folder, number)) for number in numbers(sweep_folder) if _is_damaged(_path(sweep_folder, number))]
    return [one for one in kept if one is not None]


def _each(sweep_folder: Path) -> list[Submission | Damaged]:
    found: list[Submission | Damaged] = []
    for number in numbers(sweep_folder):
        try:
            found.append(read(_path(sweep_folder.absolute(), number)))
        except Damaged as error:
            found.append(error)
    return found


def _is_damaged(path: Path) -> bool:
    try:
        read(path)
    except Damaged:
        return True
    return False


def note_jobs(submission: Submission, jobs: dict[str, Any]) -> None:
    """Write which jobs Slurm has taken: {"canary": id|None, "arrays": [{"id","first","size","after"}], "keeper": id|None,
    "complete"}; `after` is the job that an array waits for since no more tasks may run at once.
    """
    atomic_files.write_json(submission.folder / "jobs.json", jobs)


def recorded_jobs(submission: Submission) -> dict[str, Any]:
    """Return what `note_jobs` wrote; empty lists before that, and where it is damaged: jobs are found by their name."""
    return {"canary": None, "arrays": [], "keeper": None, "complete": False, **(_noted(submission) or {})}


def _noted(submission: Submission) -> dict[str, Any] | None:
    """Return what `note_jobs` wrote; None where it is damaged."""
    try:
        noted = parsed_json(record_bytes(submission.folder / "jobs.json"))
    except FileNotFoundError:
        return {}
    except ValueError:
        return None
    arrays = noted.get("arrays", []) if isinstance(noted, dict) else None
    whole = isinstance(arrays, list) and all(isinstance(one, dict) and {"id", "first", "size"} <= one.keys() for one in arrays)
    return noted if whole else None


def none_accepted(submission: Submission) -> bool:
    """Return whether its maker is done and Slurm took none of its jobs, as far as sbatch said."""
    if submission.launcher == "local":
        return False
    noted = recorded_jobs(submission)
    return bool(noted["complete"]) and not (noted["canary"] or noted["arrays"] or noted["keeper"])


def worker_jobs(sweep_folder: Path) -> dict[str, str]:
    """Return the ids of all jobs ever given to the sweep for its trials, each with its name. Slurm may since have used an id again."""
    given = {one.job_name: recorded_jobs(one) for one in all_submissions(sweep_folder) if one.launcher == "slurm"}
    return {str(id): name for name, noted in given.items() for id in (noted["canary"], *(one["id"] for one in noted["arrays"])) if id}


def in_making(submission: Submission) -> bool:
    """Return whether its maker may still be between the record and its last sbatch."""
    if submission.launcher == "local" or recorded_jobs(submission)["complete"]:
        return False
    gone = process_gone(submission.by)
    if gone is not None:
        return not gone
    return abs((datetime.now(UTC) - datetime.fromisoformat(submission.by["at"])).total_seconds()) < MAKING_SECONDS


def covered(among: Sequence[Submission]) -> set[str] | None:
    """Return the seals of these submissions that a job in the queue will run or is running; None where Slurm does not answer."""
    from persona_exp.launch.slurm.slurm_queue import queued

    named = {one.job_name: one for one in among if one.launcher == "slurm"}
    found = queued(list(named)) if named else []
    if found is None:
        return None
    return {seal for job in found for task in task_numbers(job, named[job.name]) for seal in named[job.name].tasks[task]}


def has_jobs(among: Sequence[Submission]) -> bool:
    """Return whether a worker job of these submissions is in the queue, running or not; False where Slurm does not answer."""
    from persona_exp.launch.slurm.slurm_queue import queued

    named = [one.job_name for one in among if one.launcher == "slurm"]
    return bool(named and queued(named))


def comment(first: int, own: str | None = None) -> str:
    """Return a worker job's comment, which says at which task of its submission it begins."""
    return f"{own} first={first}" if own else f"first={first}"


def task_numbers(job: "Job", submission: Submission) -> list[int]:
    """Return the tasks of its submission that a worker job stands for; of an array, those that have not started."""
    # The last: a person's own words stand before it, a site's behind.
    first_task = re.findall(r"\bfirst=(\d+)", job.comment)
    first, last = int(first_task[-1]) if first_task else 0, len(submission.tasks) - 1
    if job.task_id is not None or job.array_id is None:
        return [number for number in [first + (job.task_id or 0)] if number <= last]
    indices: list[int] = []
    for low, high, step in re.findall(r"(\d+)(?:-(\d+)(?::(\d+))?)?", job.tasks.split("%")[0]):
        indices += range(int(low), int(high or low) + 1, int(step or 1))
    if "..." in job.tasks:
        # Cut short by squeue: what it does not name may be there too.
        indices += range(max(indices, default=0), last + 1)
    return sorted({first + index for index in indices if first + index <= last})


def _path(folder: Path, number: int) -> Path:
    return folder / FOLDER / f"{number:04}.json"


def _from_record(path: Path, record: dict[str, Any]) -> Submission:
    tasks, launch, by = record["tasks"], record["options"].get("launch", {}), record["by"]
    whole = all(isinstance(task, list) and all(map(is_seal_path, task)) for task in tasks) and is_id(launch.get("code_folder", "0" * 12))
    named = isinstance(record["job_name"], str) and JOB_NAME.fullmatch(record["job_name"])
    if not (whole and named) or record["number"] != int(path.stem) or record["launcher"] not in ("local", "slurm"):
        raise ValueError("it is not of the form that is written")
    if by["who"] not in get_args(Who) or not isinstance(by["progress"], list) or datetime.fromisoformat(by["at"]).tzinfo is None:
        raise ValueError("it does not say who made it, when, and what had been reached")
    float(launch.get("lease_seconds", LEASE_SECONDS))
    return Submission(
        path=path,
        sweep=record["sweep"],
        number=record["number"],
        launcher=record["launcher"],
        tasks=tuple(tuple(task) for task in record["tasks"]),
        options=record["options"],
        by=record["by"],
        job_name=record["job_name"],
        canary=record["canary"],
    )
