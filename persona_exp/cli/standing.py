"""How sweeps stand: their trials' states from the files, made truer by one question to the queue."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.trial.reader import Sweep, SweepTrial, read_hold, read_sweep, sweep_names
from persona_exp.trial.state import ENDED, State, read_states

if TYPE_CHECKING:
    from persona_exp.launch.slurm.queue import Job
    from persona_exp.launch.sweeps.submission import Submission

PATIENCE_SECONDS = 5.0
ORDER = ("finished", "running", "queued", "interrupted", "sealed", "failed", "cancelled", "pruned", "missing")


@dataclass(frozen=True)
class Standing:
    """One sweep. `states` are as its trials are listed; `queue` are its jobs, None where there is no Slurm or it does not answer."""

    sweep: Sweep
    folder: Path
    states: tuple[State, ...]
    hold: dict[str, Any] | None
    submissions: "tuple[Submission, ...]"
    queue: "tuple[Job, ...] | None"

    @property
    def command(self) -> str:
        """The command that goes on with it."""
        return self.sweep.command

    def trial_folder(self, trial_id: str) -> Path:
        return self.folder.parent.parent / "trials" / trial_id

    @property
    def unfinished(self) -> bool:
        return any(state.status not in ENDED for state in self.states)

    @property
    def gpu_hours(self) -> float:
        return sum(state.gpu_hours for state in {state.trial_id: state for state in self.states}.values())

    @property
    def counts(self) -> dict[str, int]:
        """How many trials there are of each status, in the order in which a person asks."""
        found = [state.status for state in self.states]
        return {status: found.count(status) for status in ORDER if status in found}

    def refused(self, submission: "Submission") -> bool:
        """Whether Slurm took none of a submission. An sbatch that found it busy may have been heard: then the queue knows its jobs."""
        from persona_exp.launch.sweeps.submission import jobs, none_taken

        if self.queue is None and jobs(submission).get("refused") == "busy":
            return False
        return none_taken(submission) and not any(job.name == submission.job_name for job in self.queue or ())

    @property
    def rows(self) -> list[tuple[SweepTrial, State]]:
        return list(zip(self.sweep.trials, self.states, strict=True))


def standings(runs: Path, names: Sequence[str]) -> list[Standing]:
    """How the sweeps `names` stand; Slurm is asked at most once, and only where a sweep with work left was given to it."""
    from persona_exp.launch.sweeps.submission import submissions

    sweeps = [read_sweep(runs, name) for name in names]
    ids = {trial.trial_id: None for sweep in sweeps for trial in sweep.trials}
    states = dict(zip(ids, read_states(runs, ids), strict=True))
    made = [_from_files(runs, name, sweep, states) for name, sweep in zip(names, sweeps, strict=True)]
    given = [tuple(submissions(one.folder)) if (one.folder / "submissions").is_dir() else () for one in made]
    slurm = [one for standing, ones in zip(made, given, strict=True) if standing.unfinished for one in ones if one.launcher == "slurm"]
    asked = [name for one in slurm for name in (one.job_name, one.keeper_name)]
    queue = ask(asked)
    return [_with_queue(replace(standing, submissions=ones), queue, asked) for standing, ones in zip(made, given, strict=True)]


def ask(job_names: Sequence[str]) -> "list[Job] | None":
    """The jobs of these names in the queue; None where there is no Slurm here or it does not answer while a person waits."""
    if not job_names:
        return None
    from persona_exp.launch.slurm import queue

    if not queue.at_hand("squeue"):
        return None
    # Without its controller squeue goes on trying for half a minute, by which time nobody looks any more.
    return queue.queued(job_names, seconds=PATIENCE_SECONDS)


def of_trial(runs: Path, trial_id: str) -> list[str]:
    """The sweeps that ask for a trial, by name. Their files are searched as text first, since parsing all would take seconds."""
    named = []
    for name in sweep_names(runs):
        text = (runs / "sweeps" / name / "sweep.yaml").read_text(encoding="utf-8", errors="replace")
        if trial_id in text and any(trial.trial_id == trial_id for trial in read_sweep(runs, name).trials):
            named.append(name)
    return named


def job_of(state: State, queue: "Sequence[Job]") -> "Job | None":
    """The job in the queue that the trial's last attempt belongs to; a requeued array task is among those that have not started."""
    if not state.job:
        return None
    array, task = state.job.get("array_id"), state.job.get("task_id")
    if array is None or task is None:
        return next((job for job in queue if job.array_id is None and job.id == str(state.job.get("id"))), None)
    same = [job for job in queue if job.array_id == str(array)]
    started = next((job for job in same if job.task_id == int(task)), None)
    return started or next((job for job in same if job.task_id is None and _among(job.tasks, int(task))), None)


def planned(submission: "Submission", job: "Job") -> set[str]:
    """The trials that a job of this submission will run or runs; none for another's job, or for the keeper."""
    if job.name != submission.job_name:
        return set()
    from persona_exp.launch.sweeps.submission import task_numbers

    return {seal.split("/")[0] for number in task_numbers(job, submission) for seal in submission.tasks[number]}


def _among(tasks: str, task: int) -> bool:
    """Whether `0-7,9%4` holds `task`; squeue cuts a long list short, and then nothing is known."""
    if "..." in tasks:
        return True
    bounds = (part.split("-") for part in tasks.split("%")[0].split(",") if part)
    return any(int(bound[0]) <= task <= int(bound[-1].split(":")[0]) for bound in bounds)


def _from_files(runs: Path, name: str, sweep: Sweep, states: Mapping[str, State]) -> Standing:
    folder = runs / "sweeps" / name
    seals = _wanted_seals(folder)
    judged = {one: judged_by_workers(runs, states[one], seals.get(one)) for one in {trial.trial_id for trial in sweep.trials}}
    found = tuple(_owed(runs, trial, judged[trial.trial_id]) for trial in sweep.trials)
    return Standing(sweep, folder, found, read_hold(runs, name), (), None)


def _wanted_seals(folder: Path) -> dict[str, str]:
    """The name of the seal under which the sweep wants each trial now; empty where it does not say."""
    from persona_exp.launch.sweeps import wanted

    return {one.trial_id: one.seal_name for one in wanted.read(folder)} if (folder / wanted.NAME).is_file() else {}


def _owed(runs: Path, trial: SweepTrial, state: State) -> State:
    """A trial has done its part in a sweep when the evaluations that this sweep asks for are there, whatever its last attempt said."""
    if not trial.evaluations or state.status not in ("finished", "interrupted", "failed", "cancelled"):
        return state
    folder = f"{runs}/trials/{trial.trial_id}/evaluations"
    there = all(os.path.isdir(f"{folder}/{eval_id}") for eval_id in trial.evaluations.values())  # noqa: PTH112 (1,000 of them)
    if there:
        return replace(state, status="finished", cause=None, message=None)
    if state.status == "finished":
        return replace(state, status="sealed", message="it is trained, but this sweep asks for an evaluation that is not there yet")
    return state


def judged_by_workers(runs: Path, state: State, seal: str | None = None) -> State:
    """What workers make of a trial that failed or was killed, wanted under the seal of that name (default: that of its last attempt).

    Killed or stopped too often it has failed; with memory to save, or sealed anew, it goes on.
    """
    own = state.record.get("seal")
    if state.status not in ("interrupted", "failed") or not own:
        return state
    from persona_exp.launch.judgement.retry import MOST_STOPS, STOPS, verdict

    stopped_often = state.cause in STOPS and state.attempt >= MOST_STOPS
    sealed_anew = state.status == "failed" and seal is not None and seal != own
    if state.cause not in ("killed", "out_of_memory") and not stopped_often and not sealed_anew:
        return state
    from persona_exp.trial.directory import trial_directory

    found = verdict(trial_directory(runs, state.trial_id), seal or own, lambda _: "dead")
    if found.next == "failed" and state.status == "interrupted":
        return replace(state, status="failed", message=found.why)
    if found.next == "run" and state.status == "failed" and found.room.smaller:
        return replace(state, status="interrupted", message=f"it goes on with {found.room.text()}")
    if found.next == "run" and state.status == "failed":
        return replace(state, status="sealed", cause=None, message=found.why)
    return state


def _with_queue(standing: Standing, queue: "list[Job] | None", asked: Collection[str]) -> Standing:
    own = {name for one in standing.submissions for name in (one.job_name, one.keeper_name) if name in asked}
    if queue is None or not own:
        return standing
    jobs = tuple(job for job in queue if job.name in own)
    # A job that starts while its sweep is held leaves again: it brings nothing.
    coming = (
        set()
        if standing.hold
        else {trial_id for submission in standing.submissions for job in jobs for trial_id in planned(submission, job)}
    )
    states = tuple(_queued(state, jobs, own, coming) for state in standing.states)
    return replace(standing, states=states, queue=jobs)


def _queued(state: State, jobs: "tuple[Job, ...]", own: Collection[str], coming: Collection[str]) -> State:
    if state.status == "running" and state.job and state.job.get("name") in own:
        job = job_of(state, jobs)
        if job is None:
            where = f"its job {_number(state.job)} has left the queue"
            return replace(state, status="interrupted", cause=state.cause or "killed", message=where)
        if job.state == "PENDING":
            return replace(state, status="queued", cause=None, message=f"its job {_number(state.job)} was requeued")
    if state.status in ("sealed", "interrupted") and state.trial_id in coming:
        return replace(state, status="queued", cause=None)
    return state


def _number(job: Mapping[str, Any]) -> str:
    return f"{job['array_id']}_{job['task_id']}" if job.get("array_id") and job.get("task_id") is not None else str(job.get("id"))
