"""How many tasks of a sweep run at once, over all of its jobs: the part of each array, and which array waits for which."""

from collections import defaultdict
from dataclasses import dataclass, field

from persona_exp.launch.sweeps.submission_record import Submission, all_submissions, recorded_jobs, task_numbers
from persona_exp.process_identity import this_job


@dataclass
class Part:
    """A job's part: it runs `at_once` tasks at once, when the job `after` has ended (None: does not wait). `promised` are its places that
    jobs behind it take.
    """

    at_once: int
    after: str | None = None
    promised: int = 0


@dataclass
class TasksAtOnce:
    """At most `most` tasks, of which `parts` has those of each job that is submitted, by its id."""

    most: int
    parts: dict[str, Part] = field(default_factory=dict)

    def part(self, size: int, left: int) -> Part:
        """Return the part of an array of `size` tasks where `left`, these included, are still to be submitted.

        Where all places are taken it waits for a job, and takes places of that one.
        """
        free = self.most - sum(one.at_once for one in self.parts.values() if one.after is None)
        if free > 0:
            return Part(max(1, min(size, round(free * size / left))))
        # One that nothing waits for has a place to give.
        before = max(self.parts, key=lambda id: self.parts[id].at_once - self.parts[id].promised)
        return Part(min(size, self.parts[before].at_once - self.parts[before].promised), before)

    def add(self, id: str, part: Part) -> None:
        """Count a job that was submitted with this part."""
        self.parts[id] = part
        if part.after in self.parts:
            self.parts[part.after].promised += part.at_once


def tasks_at_once(submission: Submission) -> TasksAtOnce:
    """Return what the sweep's other submissions leave to this one. This process's own job is about to end, and leaves its place.

    Raise Busy where there are others and Slurm does not show its queue.
    """
    from persona_exp.launch.slurm.slurm_queue import queued
    from persona_exp.launch.slurm.submit_and_cancel import Busy

    most = int(submission.options["launch"]["array_parallelism"])
    others = {one.job_name: one for one in all_submissions(submission.sweep_folder) if one.launcher == "slurm" and one != submission}
    found = queued(list(others)) if others else []
    if found is None:
        raise Busy("Slurm does not answer (squeue): how many tasks of the sweep run is not known.")
    own = this_job() or {}
    counts: dict[str, int] = defaultdict(int)
    limits: dict[str, int] = {}
    waits: dict[str, bool] = {}
    for job in found:
        id = job.array_id or job.id
        if job.state == "COMPLETING" or job.id == own.get("id"):
            continue
        counts[id] += len(task_numbers(job, others[job.name]))
        limit = job.tasks.partition("%")[2]
        limits |= {id: int(limit)} if limit.isdigit() else {}
        waits[id] = waits.get(id, True) and job.reason == "Dependency"
    after = {array["id"]: array.get("after") for one in others.values() for array in recorded_jobs(one)["arrays"]}
    given = TasksAtOnce(most)
    for id, count in counts.items():
        before = after.get(id) if waits[id] else None
        given.parts[id] = Part(max(1, min(count, limits.get(id, count))), before if before in counts else None)
    for part in list(given.parts.values()):
        if part.after is not None:
            given.parts[part.after].promised += part.at_once
    for part in given.parts.values():
        # Its last tasks may be fewer than those that start at its end.
        part.at_once = max(part.at_once, part.promised)
    return given
