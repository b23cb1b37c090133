"""A submission as jobs: the canary, the arrays that wait for it, sized by the site's limits, and the keeper that waits for all."""

from collections.abc import Iterator, Sequence
from typing import Any

from persona_exp.atomic_files import make_folder
from persona_exp.launch.recovery.failed_nodes import nodes_to_avoid
from persona_exp.launch.slurm.site_limits import Limits, limits_of_job
from persona_exp.launch.sweeps import never_began
from persona_exp.launch.sweeps.keeper_job import KEEPER_SETTINGS, keeper_script, submit_keeper
from persona_exp.launch.sweeps.submission_record import Submission, comment, create, draft, note_jobs
from persona_exp.launch.sweeps.tasks_at_once import Part, TasksAtOnce, tasks_at_once


def submit_jobs(submission: Submission, limits: Limits | None = None) -> dict[str, Any]:
    """Submit all jobs of a recorded submission, noting each before the next; return what was noted last.

    Tasks for which the site has no room now are left to the keeper. Raise Refused, Busy among it, when a script is not taken; what
    was not submitted is then found missing by the next reconciliation.
    """
    from persona_exp.launch.slurm.submit_and_cancel import Busy, Full, Refused, submit

    limits = limits or limits_of_job(submission.options["sbatch"])
    make_folder(submission.logs)
    jobs: dict[str, Any] = {"canary": None, "arrays": [], "keeper": None, "complete": False}
    try:
        given, worker_jobs = tasks_at_once(submission), list(worker_jobs_of(submission, limits))
        left = sum(size for name, _, size in worker_jobs if name != "canary")
        for name, first, size in worker_jobs:
            if name == "canary":
                jobs["canary"] = submit(worker_script(submission, 0, None), submission.folder / "canary.sbatch")
                given.add(jobs["canary"], Part(1))
            else:
                part = given.part(size, left)
                sent = _submit_array(submission, name, first, size, part, jobs)
                left -= size
                if sent is not None:
                    jobs["arrays"].append(sent)
                    given.add(sent["id"], part)
                if sent is None or sent["size"] < size:
                    break
            note_jobs(submission, jobs)
        if submission.options["launch"]["keeper"]:
            after = [*filter(None, [jobs["canary"]]), *(array["id"] for array in jobs["arrays"])]
            jobs["keeper"] = _submit_keeper(submission, after)
    except Refused as refused:
        jobs["refused"] = "busy" if isinstance(refused, Busy) else "full" if isinstance(refused, Full) else "for good"
        raise
    except OSError:
        if not (jobs["canary"] or jobs["arrays"]):
            # The disk is full, and Slurm has heard of nothing: a record that says otherwise would be waited for.
            submission.path.unlink(missing_ok=True)
        raise
    finally:
        # Refused or not, nobody is at it any more.
        note_jobs(submission, {**jobs, "complete": True})
    never_began.call_off_late(submission, jobs)
    return jobs


def worker_jobs_of(submission: Submission, limits: Limits) -> Iterator[tuple[str, int, int]]:
    """Yield (name, first task, number of tasks) of each worker job."""
    first = 1 if submission.canary else 0
    if submission.canary:
        yield "canary", 0, 1
    keeper = 1 if submission.options["launch"]["keeper"] else 0
    # Whatever the limit and the queue, one array is tried, or nothing would ever run.
    room = None if limits.max_submit_jobs is None else max(1, limits.max_submit_jobs - limits.queued - first - keeper)
    for number, (start, size) in enumerate(array_sizes(len(submission.tasks), limits.max_array_size, room, first=first)):
        yield f"array-{number}", start, size


def sbatch_texts(submission: Submission, limits: Limits) -> Iterator[tuple[str, str]]:
    """Yield (name, sbatch text) of every job, as it would be submitted."""
    given, worker_jobs = TasksAtOnce(int(submission.options["launch"]["array_parallelism"])), list(worker_jobs_of(submission, limits))
    left, names = sum(size for name, _, size in worker_jobs if name != "canary"), [name for name, *_ in worker_jobs]
    for name, first, size in worker_jobs:
        if name == "canary":
            given.add("CANARY", Part(1))
            yield name, worker_script(submission, first, None)
            continue
        part = given.part(size, left)
        given.add(name.upper(), part)
        left -= size
        yield name, worker_script(submission, first, size, part, after="CANARY" if submission.canary else None)
    if submission.options["launch"]["keeper"]:
        yield "keeper", keeper_script(submission, [name.upper() for name in names])


def worker_script(submission: Submission, first: int, size: int | None, part: Part | None = None, *, after: str | None = None) -> str:
    """Return the script of a worker job: an array of `size` tasks from task `first` on with its part of the tasks that run at once, or
    (None) that one task alone. It waits for the job `after`, the canary, unless its part is to wait for another.
    """
    from persona_exp.launch.slurm.sbatch_script import in_code_snapshot, script
    from persona_exp.launch.slurm.verified_start import verified_start_in_script

    launch, sbatch = submission.options["launch"], dict(submission.options["sbatch"])
    sbatch["comment"] = comment(first, sbatch.get("comment"))
    sbatch["setup"] = [*never_began.guard(submission, alone=size is None or len(submission.tasks) == 1), *sbatch.get("setup", [])]
    away = nodes_to_avoid(submission.sweep_folder, sbatch)
    if away:
        sbatch["exclude"] = ",".join([*filter(None, [sbatch.get("exclude")]), *away])
    before = part.after if part and part.after else after
    arguments = [str(submission.path), "--first", str(first), *(["--task", "0"] if size is None else [])]
    return script(
        verified_start_in_script(launch["python"], submission.code, "persona_exp.launch.workers", arguments),
        folder=submission.logs,
        name=submission.job_name,
        options=in_code_snapshot(submission.code, sbatch),
        array=None if size is None else (0, size - 1),
        parallelism=part.at_once if part else launch["array_parallelism"],
        dependency=f"afterany:{before}" if before else None,
        environment={"HF_HUB_OFFLINE": "1"},
    )


def submit_again(submission: Submission, seals: Sequence[str]) -> str | None:
    """Submit these seals as the one task of a submission of their own, without a keeper: the sweep's comes back to it.

    Return the job's id; None where sbatch is not at hand.
    """
    from persona_exp.launch.slurm.slurm_queue import at_hand

    if not at_hand("sbatch"):
        return None
    sbatch, launch = dict(submission.options["sbatch"]), {**submission.options["launch"], "keeper": False}
    if "together" in launch:
        # Bundled with another task's trials no more at once than that task allows.
        own = [at_once for at_once, task in zip(launch["together"], submission.tasks, strict=True) if set(task) & set(seals)]
        launch["together"] = [min(own, default=1)]
    options, tasks = {"sbatch": sbatch, "launch": launch}, [tuple(seals)]
    while True:
        # Workers preempted together race for one number: one wins each round, so each gets its own.
        made = draft(submission.sweep_folder, launcher="slurm", tasks=tasks, options=options, canary=False, who="worker")
        if create(made):
            return str(submit_jobs(made)["arrays"][0]["id"])


def _submit_keeper(submission: Submission, after: Sequence[str]) -> str | None:
    """Submit the keeper and return its job; None, with a message, when Slurm does not take it: the workers are queued all the same."""
    from persona_exp.launch.slurm.submit_and_cancel import Busy, Full, Refused

    try:
        return submit_keeper(submission, after)
    except Refused as refused:
        fix = "" if isinstance(refused, Busy | Full) else f"For a keeper correct {KEEPER_SETTINGS} (`persona-exp doctor` tries them). "
        print(
            f"No keeper: {refused} The workers are queued, and run. {fix}What they leave undone the same command later submits, "
            "or a command that watches.",
            flush=True,
        )
        return None


def _submit_array(submission: Submission, name: str, first: int, size: int, part: Part, jobs: dict[str, Any]) -> dict[str, Any] | None:
    """Submit an array of at most `size` tasks: fewer when the user's other jobs leave no room for all, None when they leave none."""
    from persona_exp.launch.slurm.submit_and_cancel import Full, submit

    while True:
        text = worker_script(submission, first, size, part, after=jobs["canary"])
        try:
            return {"id": submit(text, submission.folder / f"{name}.sbatch"), "first": first, "size": size, "after": part.after}
        except Full:
            if size == 1:
                if not jobs["canary"] and not jobs["arrays"]:
                    raise
                return None
        size //= 2


def array_sizes(n: int, max_array_size: int, max_submit_jobs: int | None, *, first: int = 0) -> list[tuple[int, int]]:
    """Return (first task, number of tasks) of each array for the tasks from `first` to `n`.

    `max_array_size` caps an array's highest index + 1, `max_submit_jobs` what Slurm takes at once, each task counted: tasks beyond that
    are left out, for the keeper's next round.
    """
    end = n if max_submit_jobs is None else min(n, first + max(0, max_submit_jobs))
    size = max(1, max_array_size)
    return [(start, min(size, end - start)) for start in range(first, end, size)]
