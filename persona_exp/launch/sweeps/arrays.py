"""A submission as jobs: the canary, the arrays that wait for it, and the keeper that waits for all."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.launch.judgement.failed_nodes import shunned
from persona_exp.launch.sweeps.array_sizes import array_sizes
from persona_exp.launch.sweeps.submission import Submission, comment, create, draft, note_jobs

if TYPE_CHECKING:
    from persona_exp.launch.slurm.limits import Limits

KEEPER_MINUTES, KEEPER_GB = 60, 4


def send(submission: Submission, limits: "Limits | None" = None) -> dict[str, Any]:
    """Submit all jobs of a recorded submission, noting each before the next; what `note_jobs` was told last.

    Tasks for which the site has no room now are left to the keeper. Raises Refused, Busy among it, when a script is not taken; what
    was not sent is then found missing by whoever looks next.
    """
    from persona_exp.launch.slurm.submit import Busy, Full, Refused, submit

    limits = limits or site_limits(submission)
    _logs(submission).mkdir(parents=True, exist_ok=True)
    jobs: dict[str, Any] = {"canary": None, "arrays": [], "keeper": None, "complete": False}
    try:
        for name, first, size in parts(submission, limits):
            if name == "canary":
                jobs["canary"] = submit(worker_script(submission, 0, None), submission.folder / "canary.sbatch")
            else:
                sent = _submit_array(submission, name, first, size, jobs)
                if sent is not None:
                    jobs["arrays"].append(sent)
                if sent is None or sent["size"] < size:
                    break
            note_jobs(submission, jobs)
        if submission.options["launch"]["keeper"]:
            after = [*filter(None, [jobs["canary"]]), *(array["id"] for array in jobs["arrays"])]
            jobs["keeper"] = _submit_keeper(submission, after)
    except Refused as refused:
        jobs["refused"] = "busy" if isinstance(refused, Busy) else "full" if isinstance(refused, Full) else "for good"
        raise
    finally:
        # Refused or not, nobody is at it any more.
        note_jobs(submission, {**jobs, "complete": True})
    return jobs


def parts(submission: Submission, limits: "Limits") -> Iterator[tuple[str, int, int]]:
    """(name, first task, number of tasks) of each worker job."""
    first = 1 if submission.canary else 0
    if submission.canary:
        yield "canary", 0, 1
    keeper = 1 if submission.options["launch"]["keeper"] else 0
    # Whatever the limit and the queue, one array is tried, or nothing would ever run.
    room = None if limits.max_submit_jobs is None else max(1, limits.max_submit_jobs - limits.queued - first - keeper)
    for number, (start, size) in enumerate(array_sizes(len(submission.tasks), limits.max_array_size, room, first=first)):
        yield f"array-{number}", start, size


def texts(submission: Submission, limits: "Limits") -> Iterator[tuple[str, str]]:
    """(name, sbatch text) of every job, as it would be submitted."""
    jobs: dict[str, Any] = {"canary": None}
    names = []
    for name, first, size in parts(submission, limits):
        yield name, worker_script(submission, first, None if name == "canary" else size, after=jobs["canary"])
        names.append(name)
        jobs["canary"] = jobs["canary"] or ("CANARY" if name == "canary" else None)
    if submission.options["launch"]["keeper"]:
        yield "keeper", keeper_script(submission, [name.upper() for name in names])


def worker_script(submission: Submission, first: int, size: int | None, after: str | None = None) -> str:
    """The script of a worker job: an array of `size` tasks from task `first` on, or (None) that one task alone."""
    from persona_exp.launch.slurm.script import script

    launch, sbatch = submission.options["launch"], dict(submission.options["sbatch"])
    sbatch["comment"] = comment(first, sbatch.get("comment"))
    away = shunned(submission.sweep_folder, sbatch)
    if away:
        sbatch["exclude"] = ",".join([*filter(None, [sbatch.get("exclude")]), *away])
    command = [launch["python"], "-m", "persona_exp.launch.workers", str(submission.path), "--first", str(first)]
    return script(
        shlex.join(command if size is not None else [*command, "--task", "0"]),
        folder=_logs(submission),
        name=submission.job_name,
        options=_at_home(submission, sbatch),
        array=None if size is None else (0, size - 1),
        parallelism=launch["array_parallelism"],
        dependency=f"afterany:{after}" if after else None,
        environment={"HF_HUB_OFFLINE": "1"},
    )


def keeper_script(submission: Submission, after: Sequence[str], begin_seconds: int | None = None) -> str:
    """The script of the keeper: one core, no GPU, when the jobs `after` have ended, not before `begin_seconds` from now."""
    from persona_exp.launch.slurm.script import script

    launch, given = submission.options["launch"], submission.options["sbatch"]
    # A reservation or constraint is for the GPUs' sake, and holds for their partition.
    sbatch = {name: given[name] for name in ("account", "qos", "setup", "mail_user", "mail_type", "stderr_to_stdout") if name in given}
    sbatch |= {"partition": launch["keeper_partition"] or given.get("partition"), "timeout_min": keeper_minutes(submission)}
    sbatch |= {"cpus_per_task": 1, "mem_gb": KEEPER_GB, "use_srun": False, "comment": "keeper"}
    if begin_seconds:
        sbatch["additional_parameters"] = {"begin": f"now+{begin_seconds}"}
    return script(
        shlex.join([launch["python"], "-m", "persona_exp.launch.sweeps.keeper", str(submission.sweep_folder)]),
        folder=_logs(submission),
        name=submission.keeper_name,
        options=_at_home(submission, sbatch),
        array=None,
        parallelism=1,
        dependency=f"afterany:{':'.join(after)}" if after else None,
        environment={"HF_HUB_OFFLINE": "1"},
    )


def keeper_minutes(submission: Submission) -> int:
    """The keeper's time limit: no more than the site lets a worker have."""
    return min(KEEPER_MINUTES, int(submission.options["sbatch"].get("timeout_min") or KEEPER_MINUTES))


def submit_again(submission: Submission, seals: Sequence[str]) -> str | None:
    """These seals as the one task of a submission of their own, without a keeper: the sweep's comes back to it.

    None where sbatch is not at hand.
    """
    from persona_exp.launch.slurm.queue import at_hand

    if not at_hand("sbatch"):
        return None
    sbatch, launch = dict(submission.options["sbatch"]), {**submission.options["launch"], "keeper": False}
    if "together" in launch:
        # In the company of another task no more than that bears.
        own = [at_once for at_once, task in zip(launch["together"], submission.tasks, strict=True) if set(task) & set(seals)]
        launch["together"] = [min(own, default=1)]
    options, tasks = {"sbatch": sbatch, "launch": launch}, [tuple(seals)]
    while True:
        # Workers preempted together race for one number: one wins each round, so each gets its own.
        made = draft(submission.sweep_folder, launcher="slurm", tasks=tasks, options=options, canary=False, who="worker")
        if create(made):
            return str(send(made)["arrays"][0]["id"])


def submit_keeper(submission: Submission, after: Sequence[str], begin_seconds: int | None = None) -> str:
    """The keeper once more, behind other jobs; its id."""
    from persona_exp.launch.slurm.submit import submit

    return submit(keeper_script(submission, after, begin_seconds), submission.folder / "keeper.sbatch")


def site_limits(submission: Submission) -> "Limits":
    """What the site allows a submission with these options."""
    from persona_exp.launch.slurm.limits import limits

    sbatch = submission.options["sbatch"]
    return limits(sbatch.get("partition"), account=sbatch.get("account"), qos=sbatch.get("qos"))


def _submit_keeper(submission: Submission, after: Sequence[str]) -> str | None:
    """The keeper's job; None, said on the screen, when Slurm is busy or the user's other jobs leave no room for it."""
    from persona_exp.launch.slurm.submit import Busy, Full

    try:
        return submit_keeper(submission, after)
    except (Busy, Full) as refused:
        print(f"No keeper: {refused} The same command later submits what is left.", flush=True)
        return None


def _submit_array(submission: Submission, name: str, first: int, size: int, jobs: dict[str, Any]) -> dict[str, Any] | None:
    """An array of at most `size` tasks: fewer when the user's other jobs leave no room for all, None when they leave none."""
    from persona_exp.launch.slurm.submit import Full, submit

    while True:
        text = worker_script(submission, first, size, after=jobs["canary"])
        try:
            return {"id": submit(text, submission.folder / f"{name}.sbatch"), "first": first, "size": size}
        except Full:
            if size == 1:
                if not jobs["canary"] and not jobs["arrays"]:
                    raise
                return None
        size //= 2


def _at_home(submission: Submission, sbatch: dict[str, Any]) -> dict[str, Any]:
    """The options of a job that runs in the code snapshot, whatever becomes of the working copy."""
    code = (submission.runs / "code" / submission.options["launch"]["code_folder"]).absolute()
    path = f"export PYTHONPATH={shlex.quote(str(code))}${{PYTHONPATH:+:$PYTHONPATH}}"
    additional = {**sbatch.get("additional_parameters", {}), "chdir": str(code)}
    return {**sbatch, "setup": [*sbatch.get("setup", []), path], "additional_parameters": additional}


def _logs(submission: Submission) -> Path:
    return submission.folder / "logs"
