"""The status of sweeps: their trials' statuses from the files, corrected by one question to the queue."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.cli.asked_rows import AskCounts, as_search_means, asks_for, is_paused, with_asks
from persona_exp.cli.listed_evaluations import (
    ListedEvaluation,
    evaluations_of_entry,
    evaluations_of_sweep,
    metric_values,
    outdated_versions,
)
from persona_exp.damaged_records import Damaged, record_bytes
from persona_exp.trial.added_trials import added_trials, damaged_additions
from persona_exp.trial.attempt_records import DAMAGED
from persona_exp.trial.comparability import basis
from persona_exp.trial.recorded_hold import read_hold
from persona_exp.trial.recorded_provenance import provenance_if_whole
from persona_exp.trial.recorded_sweep import Sweep, SweepTrial, read_requested_evaluations, read_sweep, sweep_names
from persona_exp.trial.trial_damage import damaged_seals, trial_damage
from persona_exp.trial.trial_status import ENDED_STATUSES, TrialStatus, read_status, read_statuses

if TYPE_CHECKING:
    from persona_exp.launch.slurm.slurm_queue import Job
    from persona_exp.launch.sweeps.submission_record import Submission

QUEUE_TIMEOUT_SECONDS = 5.0
STATUS_ORDER = ("finished", "running", "queued", "interrupted", "sealed", "failed", "damaged", "cancelled", "pruned", "missing")


@dataclass(frozen=True)
class SweepStatus:
    """A sweep; `states` in the order of its trials, `queue` its jobs, None where there is no Slurm or it does not answer.

    `asks` counts those of a search, and is None of a sweep of listed values. `damaged_files` says which of the sweep's
    own files cannot be read.
    """

    sweep: Sweep
    folder: Path
    states: tuple[TrialStatus, ...]
    hold: dict[str, Any] | None
    submissions: "tuple[Submission, ...]"
    queue: "tuple[Job, ...] | None"
    asks: AskCounts | None = None
    damaged_files: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def command(self) -> str:
        """The command that goes on with it."""
        return self.sweep.command

    @property
    def created(self) -> str:
        return self.sweep.created

    @property
    def trials(self) -> list[SweepTrial]:
        return self.sweep.trials

    def trial_folder(self, trial_id: str) -> Path:
        return self.runs / "trials" / trial_id

    @cached_property
    def damage(self) -> list[str]:
        """A sentence for each file of the sweep, or of its damaged trials, that cannot be read.

        What finished trials were sealed with is read by nothing here: `show` and `why` of one say it.
        """
        ids = dict.fromkeys(state.trial_id for state in self.states if state.status == DAMAGED)
        return [*self.damaged_files, *(sentence for one in ids for sentence in trial_damage(self.runs, one))]

    @property
    def unfinished(self) -> bool:
        # One that a person cancelled asks for no more.
        left = bool(self.asks and self.asks.left) and (self.hold or {}).get("cause") != "cancelled"
        return left or any(state.status not in ENDED_STATUSES and not is_paused(state, self.name) for state in self.states)

    @property
    def gpu_hours(self) -> float:
        return sum(state.gpu_hours for state in {state.trial_id: state for state in self.states}.values())

    @property
    def counts(self) -> dict[str, int]:
        """The number of trials of each status, in the order of STATUS_ORDER."""
        found = [state.status for state in self.states]
        return {status: found.count(status) for status in STATUS_ORDER if status in found}

    def refused(self, submission: "Submission") -> bool:
        """Return whether Slurm accepted none of a submission. A submission to a busy Slurm may have got through: the queue tells."""
        from persona_exp.launch.sweeps.submission_record import none_accepted, recorded_jobs

        if self.queue is None and recorded_jobs(submission).get("refused") == "busy":
            return False
        return none_accepted(submission) and not any(job.name == submission.job_name for job in self.queue or ())

    @property
    def runs(self) -> Path:
        return self.folder.parent.parent

    @cached_property
    def evaluations(self) -> list[list[ListedEvaluation]]:
        """Those that it asked for of each of its trials, as far as they are there."""
        return evaluations_of_sweep(self.runs, self.sweep)

    @cached_property
    def outdated(self) -> list[str]:
        """The older versions that made each of its trials and their evaluations; empty where none did."""
        apart = {one.trial_id for one in added_trials(self.folder)}
        made, runs = {role: versions_of_role(self, role, apart) for role in ("adapter", "base")}, self.runs
        alone = [self.asks is not None or trial.trial_id in apart or trial.role not in made for trial in self.trials]
        return [
            _outdated(runs, trial, evaluations_of_entry(runs, trial)) if one else made[trial.role].words(runs, trial)
            for trial, one in zip(self.trials, alone, strict=True)
        ]

    @property
    def results(self) -> list[dict[str, float]]:
        """The metrics that it asked for of each of its trials, as far as they are there."""
        return [metric_values(read_requested_evaluations(self.runs, trial).values()) for trial in self.trials]

    @property
    def rows(self) -> list[tuple[SweepTrial, TrialStatus]]:
        return list(zip(self.trials, self.states, strict=True))


def sweep_statuses(runs: Path, names: Sequence[str], *, only: str | None = None) -> list[SweepStatus]:
    """Return the status of the sweeps `names`; Slurm is asked at most once, and only where a sweep with work left was submitted to it.

    With the trial `only` they have no other, but for searches, whose end hangs on all of theirs.
    """
    from persona_exp.launch.sweeps.submission_record import all_submissions, damaged_submissions

    read = [_read(runs, name) for name in names]
    if only is not None:
        read = [(sweep if asks else _with_only(sweep, only), asks, damage) for sweep, asks, damage in read]
    sweeps = [(sweep, asks) for sweep, asks, _ in read]
    ids = {trial.trial_id: None for sweep, _ in sweeps for trial in sweep.trials}
    states = dict(zip(ids, read_statuses(runs, ids), strict=True))
    found = []
    for name, (sweep, asks, damage) in zip(names, read, strict=True):
        status = replace(_from_files(runs, name, sweep, states, damage), asks=asks)
        if (status.folder / "submissions").is_dir():
            damage = (*status.damaged_files, *damaged_submissions(status.folder))
            status = replace(status, submissions=tuple(all_submissions(status.folder)), damaged_files=damage)
        found.append(status)
    slurm = [one for status in found if status.unfinished for one in status.submissions if one.launcher == "slurm"]
    job_names = [name for one in slurm for name in (one.job_name, one.keeper_name)]
    queue = queued_jobs(job_names)
    return [_with_queue(status, queue, job_names) for status in found]


def trials_asked_for(runs: Path, names: Sequence[str]) -> set[str]:
    """Return the ids of all trials of the sweeps `names`."""
    return {trial.trial_id for name in names for trial in _read(runs, name)[0].trials}


def _with_only(sweep: Sweep, trial_id: str) -> Sweep:
    return replace(sweep, trials=[one for one in sweep.trials if one.trial_id == trial_id])


def _read(runs: Path, name: str) -> tuple[Sweep, AskCounts | None, tuple[str, ...]]:
    """Return a sweep, its asks, and what of it cannot be read: without sweep.yaml it has no trials."""
    folder = runs / "sweeps" / name
    try:
        sweep = read_sweep(runs, name)
    except Damaged as error:
        return Sweep(name, f"the command of {name}", [], "", []), None, (str(error),)
    damage = damaged_additions(folder)
    try:
        return *with_asks(folder, sweep), tuple(damage)
    except Damaged as error:
        return sweep, None, (str(error), *damage)


def queued_jobs(job_names: Sequence[str]) -> "list[Job] | None":
    """Return the jobs of these names in the queue; None where there is no Slurm here or it does not answer while a person waits."""
    if not job_names:
        return None
    from persona_exp.launch.slurm import slurm_queue

    if not slurm_queue.at_hand("squeue"):
        return None
    # Without its controller squeue goes on trying for half a minute, which is longer than a reader waits.
    return slurm_queue.queued(job_names, seconds=QUEUE_TIMEOUT_SECONDS)


def sweeps_of_trial(runs: Path, trial_id: str) -> list[str]:
    """Return the names of the sweeps that ask for a trial. Their files are searched as text first, since parsing all would take seconds."""
    named = []
    for name in sweep_names(runs):
        folder = runs / "sweeps" / name
        content = record_bytes(folder / "sweep.yaml")
        added = asks_for(folder, trial_id) or any(one.trial_id == trial_id for one in added_trials(folder))
        if added or (trial_id.encode() in content and any(trial.trial_id == trial_id for trial in _read(runs, name)[0].trials)):
            named.append(name)
    return named


def job_of_trial(state: TrialStatus, queue: "Sequence[Job]") -> "Job | None":
    """Return the job in the queue that runs the trial's last attempt; a requeued array task is among those that have not started."""
    if not state.job:
        return None
    array, task = state.job.get("array_id"), state.job.get("task_id")
    if array is None or task is None:
        return next((job for job in queue if job.array_id is None and job.id == str(state.job.get("id"))), None)
    same = [job for job in queue if job.array_id == str(array)]
    started = next((job for job in same if job.task_id == int(task)), None)
    return started or next((job for job in same if job.task_id is None and _holds_task(job.tasks, int(task))), None)


def planned_trials(submission: "Submission", job: "Job") -> set[str]:
    """Return the trials that a job of this submission runs or will run; none for another's job, or for the keeper."""
    if job.name != submission.job_name:
        return set()
    from persona_exp.launch.sweeps.submission_record import task_numbers

    return {seal.split("/")[0] for number in task_numbers(job, submission) for seal in submission.tasks[number]}


@dataclass(frozen=True)
class RowVersions:
    """With which older versions the rows of one role were made, and with which those that are evaluated: one command's rows are sealed by
    one code, which both their trials' ids and their evaluations' ids depend on."""

    trained: str
    measured: str

    def words(self, runs: Path, trial: SweepTrial) -> str:
        """Return what is said of a row."""
        return self.measured if self.measured != self.trained and _measured(runs, trial) else self.trained


def versions_of_role(status: SweepStatus, role: str, apart: Collection[str]) -> RowVersions:
    """Return the versions of the rows of `role` but for the trials `apart`, by the first row that is evaluated, else by the first."""
    runs, rows = status.runs, [trial for trial in status.trials if trial.role == role and trial.trial_id not in apart]
    trained = _outdated(runs, rows[0], ()) if rows else ""
    measured = next((trial for trial in rows if _measured(runs, trial)), None)
    return RowVersions(trained, _outdated(runs, measured, evaluations_of_entry(runs, measured)) if measured else trained)


def _measured(runs: Path, trial: SweepTrial) -> bool:
    """Return whether one of the evaluations that a sweep asks for is there."""
    if not trial.evaluations:
        return False
    folder = f"{runs}/trials/{trial.trial_id}/evaluations"
    return any(os.path.isdir(f"{folder}/{eval_id}") for eval_id in trial.evaluations.values())  # noqa: PTH112 (20,000 of them)


def outdated_by_first_adapter(status: SweepStatus) -> str:
    """Return the older versions that made a sweep, by its first adapter alone: one command's trials are sealed by one code."""
    first = next((trial for trial in status.trials if trial.role == "adapter"), None)
    return _outdated(status.runs, first, evaluations_of_entry(status.runs, first)) if first else ""


def _outdated(runs: Path, trial: SweepTrial, own: Sequence[ListedEvaluation]) -> str:
    rests_on = own[0].basis if own else basis(provenance_if_whole(runs, trial.trial_id))
    return outdated_versions(rests_on.training_version, own)


def _holds_task(tasks: str, task: int) -> bool:
    """Return whether `0-7,9%4` holds `task`; True where squeue has cut a long list short."""
    if "..." in tasks:
        return True
    bounds = (part.split("-") for part in tasks.split("%")[0].split(",") if part)
    return any(int(bound[0]) <= task <= int(bound[-1].split(":")[0]) for bound in bounds)


def _from_files(runs: Path, name: str, sweep: Sweep, states: Mapping[str, TrialStatus], damage: tuple[str, ...]) -> SweepStatus:
    folder = runs / "sweeps" / name
    try:
        seals = _trial_set_seals(folder)
    except Damaged as error:
        seals, damage = {}, (*damage, str(error))
    if left_out := seals.keys() - {trial.trial_id for trial in sweep.trials} if sweep.trials else set():
        again = "run the sweep's command again, which writes it anew and keeps this file beside it"
        damage = (*damage, f"{folder}/sweep.yaml lacks {len(left_out)} of the sweep's trials; {again}.")
    decided = {one: with_retry_decision(runs, states[one], seals.get(one)) for one in {trial.trial_id for trial in sweep.trials}}
    found = tuple(as_search_means(_owed(runs, trial, decided[trial.trial_id]), name) for trial in sweep.trials)
    found = tuple(_if_readable(runs, state) for state in found)
    return SweepStatus(sweep, folder, found, read_hold(runs, name), (), None, damaged_files=damage)


def _trial_set_seals(folder: Path) -> dict[str, str]:
    """Return the name of each trial's seal in the sweep's trial set; empty where there is no such file."""
    from persona_exp.launch.sweeps import trial_set

    return {one.trial_id: one.seal_name for one in trial_set.written(folder)} if (folder / trial_set.NAME).is_file() else {}


def _owed(runs: Path, trial: SweepTrial, state: TrialStatus) -> TrialStatus:
    """Return `finished` where all evaluations that this sweep asks for are there, whatever the last attempt recorded."""
    if not trial.evaluations or state.status not in ("finished", "interrupted", "failed", "cancelled", DAMAGED):
        return state
    folder = f"{runs}/trials/{trial.trial_id}/evaluations"
    there = all(os.path.isdir(f"{folder}/{eval_id}") for eval_id in trial.evaluations.values())  # noqa: PTH112 (1,000 of them)
    if there:
        return replace(state, status="finished", cause=None, message=None)
    if state.status == "finished":
        return replace(state, status="sealed", message="it is trained, but this sweep asks for an evaluation that is not there yet")
    return state


def with_retry_decision(runs: Path, state: TrialStatus, seal: str | None = None) -> TrialStatus:
    """Return the status that workers will give a trial that failed or was killed, under the seal named (default: its last attempt's).

    Killed or stopped too often it has failed; with memory to save, or sealed anew, it goes on.
    """
    own = state.record.get("seal")
    if state.status not in ("interrupted", "failed") or not own:
        return state
    from persona_exp.launch.recovery.retry_decision import MAX_STOPS, MOST_KILLS, STOPS, decide

    if (state.status, state.cause) == ("interrupted", "killed") and state.attempt < MOST_KILLS:
        # Not often enough yet, whatever its records say.
        return state
    stopped_often = state.cause in STOPS and state.attempt >= MAX_STOPS
    sealed_anew = state.status == "failed" and seal is not None and seal != own
    if state.cause not in ("killed", "out_of_memory") and not stopped_often and not sealed_anew:
        return state
    from persona_exp.trial.trial_directory import trial_directory

    found = decide(trial_directory(runs, state.trial_id), seal or own, lambda _: "dead")
    if found.cause == DAMAGED:
        return replace(state, status=DAMAGED, cause=None, message=found.why.rstrip("."))
    if found.next == "failed" and state.status == "interrupted":
        return replace(state, status="failed", message=found.why)
    if found.next == "run" and state.status == "failed" and found.limits.smaller:
        return replace(state, status="interrupted", message=f"it goes on with {found.limits.text()}")
    if found.next == "run" and state.status == "failed":
        return replace(state, status="sealed", cause=None, message=found.why)
    return state


def readable_status(runs: Path, trial_id: str) -> TrialStatus:
    """Return the status of a trial that no sweep asks for; damaged where what it was sealed with cannot be read, and it is not finished."""
    return _if_readable(runs, read_status(runs / "trials" / trial_id))


def _if_readable(runs: Path, state: TrialStatus) -> TrialStatus:
    """Return the status; damaged where the trial waits for its turn, or for a person, and what it was sealed with cannot be read."""
    if state.status not in ("sealed", "interrupted", "failed"):
        return state
    found = damaged_seals(runs, state.trial_id)
    return replace(state, status=DAMAGED, cause=None, message=found[0].rstrip(".")) if found else state


def _with_queue(status: SweepStatus, queue: "list[Job] | None", job_names: Collection[str]) -> SweepStatus:
    own = {name for one in status.submissions for name in (one.job_name, one.keeper_name) if name in job_names}
    if queue is None or not own:
        return status
    jobs = tuple(job for job in queue if job.name in own)
    # A job that starts while its sweep is held leaves again: it brings nothing.
    coming = set() if status.hold else {one for submission in status.submissions for job in jobs for one in planned_trials(submission, job)}
    states = tuple(_queued(state, jobs, own, coming) for state in status.states)
    return replace(status, states=states, queue=jobs)


def _queued(state: TrialStatus, jobs: "tuple[Job, ...]", own: Collection[str], coming: Collection[str]) -> TrialStatus:
    if state.status == "running" and state.job and state.job.get("name") in own:
        job = job_of_trial(state, jobs)
        if job is None:
            where = f"its job {job_number(state.job)} has left the queue"
            return replace(state, status="interrupted", cause=state.cause or "killed", message=where)
        if job.state == "PENDING":
            return replace(state, status="queued", cause=None, message=f"its job {job_number(state.job)} was requeued")
    if state.status in ("sealed", "interrupted") and state.trial_id in coming:
        return replace(state, status="queued", cause=None)
    return state


def job_number(job: Mapping[str, Any]) -> str:
    """Return `100_1` of an array's task, else the job's id."""
    return f"{job['array_id']}_{job['task_id']}" if job.get("array_id") and job.get("task_id") is not None else str(job.get("id"))
