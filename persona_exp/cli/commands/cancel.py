"""`persona-exp cancel SWEEP|TRIAL…`: stop what runs and keep the rest from starting."""

import argparse
import getpass
import json
import os
import signal
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp import atomic_files
from persona_exp.cli.abbreviated_names import find_sweep_or_trial
from persona_exp.cli.runs_folder import runs_folder
from persona_exp.cli.sweep_status import SweepStatus, job_of_trial, planned_trials, queued_jobs, sweep_statuses, sweeps_of_trial
from persona_exp.counted_noun import counted
from persona_exp.errors import UserError
from persona_exp.process_identity import process_gone
from persona_exp.trial.attempt_claim_and_heartbeat import utc_now
from persona_exp.trial.recorded_sweep import read_sweep, sweep_names
from persona_exp.trial.trial_status import ENDED_STATUSES, TrialStatus, read_status

if TYPE_CHECKING:
    from persona_exp.launch.slurm.slurm_queue import Job


def add_commands(nouns: Any) -> None:
    """Add the verb `cancel`."""
    cancel = nouns.add_parser("cancel", help="stop a sweep or some trials; `retry` takes it back")
    cancel.add_argument("names", nargs="+", metavar="SWEEP|TRIAL", help="names or ids, or the beginning of them")
    cancel.add_argument("--json", action="store_true", help="print JSON")
    cancel.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> tuple[int, Any]:
    runs = runs_folder()
    named = [find_sweep_or_trial(runs, name) for name in arguments.names]
    sweeps = list(dict.fromkeys(sweep for sweep, _ in named if sweep))
    trials = list(dict.fromkeys(trial for _, trial in named if trial))
    answer = cancel(runs, sweeps, trials)
    if not arguments.json:
        _print(answer)
    return 0, answer


def cancel(runs: Path, sweeps: Sequence[str], trials: Sequence[str]) -> dict[str, Any]:
    """Cancel whole sweeps and single trials; return what was done, as plain JSON values. A trial that has ended stays as it is.

    A trial that another sweep with work left asks for too stays with that one, unless it was named itself.
    """
    concerned = list(dict.fromkeys([*sweeps, *(name for trial in trials for name in sweeps_of_trial(runs, trial))]))
    statuses = sweep_statuses(runs, concerned)
    others = _trials_of_other_sweeps(runs, sweeps)
    of_sweeps = [state for sweep in statuses if sweep.name in sweeps for state in sweep.states]
    found = {state.trial_id: state for state in [*of_sweeps, *(_state(runs, statuses, trial) for trial in trials)]}
    left = {one: others[one] for one, state in found.items() if one in others and one not in trials and state.status not in ENDED_STATUSES}
    chosen = {one: state for one, state in found.items() if state.status not in ENDED_STATUSES and one not in left}
    for trial_id in chosen:
        # Before any job is stopped: its worker reads here whether it may ask for the job again.
        atomic_files.create_text(runs / "trials" / trial_id / "cancel.json", json.dumps({"at": utc_now(), "by": person()}) + "\n")
    in_sweeps = {state.trial_id for sweep in statuses for state in sweep.states}
    alone = [state for one, state in chosen.items() if one not in in_sweeps]
    searches = [name for name in sweeps if _stop_asking(runs / "sweeps" / name)]
    cancelled_jobs, beyond = [], []
    of_each = [
        (cluster, _jobs(on_it, chosen.keys(), whole=sweep.name in sweeps)) for sweep in statuses for cluster, on_it in _by_cluster(sweep)
    ]
    for cluster, jobs in [*of_each, (None, _single_jobs(runs, chosen))]:
        if jobs:
            from persona_exp.launch.slurm import submit_and_cancel

            submit_and_cancel.cancel(jobs, cluster=cluster)
        cancelled_jobs += jobs
    for sweep in statuses:
        beyond += _out_of_reach(sweep, chosen)
    processes = [one for one in [*_local_commands(statuses, sweeps), *_processes(alone)] if _terminate(one)]
    return {
        "cancelled": list(chosen),
        "ended_before": [one for one, state in found.items() if state.status in ENDED_STATUSES],
        "left_to_other_sweeps": left,
        "jobs": cancelled_jobs,
        "processes": [int(one["pid"]) for one in processes],
        "out_of_reach": beyond,
        "searches": searches,
    }


def _stop_asking(sweep_folder: Path) -> bool:
    """Hold a search that has asks left, so that no worker makes them; return whether this did. Its command, or `retry`, takes it back."""
    from persona_exp.launch.recovery import sweep_hold
    from persona_exp.search.ask_files import ask_numbers
    from persona_exp.search.study_settings import is_search, read_settings, to_ask

    if not is_search(sweep_folder) or not to_ask(read_settings(sweep_folder), ask_numbers(sweep_folder)):
        return False
    return sweep_hold.create(sweep_folder, cause=sweep_hold.CANCELLED, message=f"{person()} cancelled it", trials=[])


def _state(runs: Path, statuses: Sequence[SweepStatus], trial_id: str) -> TrialStatus:
    found = [state for sweep in statuses for state in sweep.states if state.trial_id == trial_id]
    return next(
        (state for state in found if state.status not in ENDED_STATUSES), found[0] if found else read_status(runs / "trials" / trial_id)
    )


def _trials_of_other_sweeps(runs: Path, sweeps: Sequence[str]) -> dict[str, str]:
    """Return the trials of other sweeps that were submitted, with that sweep's name."""
    others = [name for name in sweep_names(runs) if sweeps and name not in sweeps and (runs / "sweeps" / name / "submissions").is_dir()]
    return {trial.trial_id: name for name in others for trial in read_sweep(runs, name).trials}


def _by_cluster(sweep: SweepStatus) -> list[tuple[str | None, SweepStatus]]:
    """Return each cluster that has jobs of a sweep, and the sweep with those alone."""
    if not sweep.queue:
        return []
    from persona_exp.launch.slurm.slurm_command import cluster_of

    names = {cluster_of(job.name): None for job in sweep.queue}
    return [(name, replace(sweep, queue=tuple(job for job in sweep.queue if cluster_of(job.name) == name))) for name in names]


def _jobs(sweep: SweepStatus, trial_ids: Collection[str], *, whole: bool) -> list[str]:
    """Return the jobs for scancel: all of a whole sweep; else the tasks that run, or would run, these trials alone.

    A trial that shares its task with others is stopped by its worker, which reads its cancel.json.
    """
    queue = sweep.queue or ()
    if whole:
        return list(dict.fromkeys(job.array_id or job.id for job in queue))
    may_go = {*trial_ids, *(state.trial_id for state in sweep.states if state.status in ENDED_STATUSES)}
    runs: dict[Job, set[str]] = defaultdict(set)
    for state in sweep.states:
        if job := _own(state, queue):
            runs[job].add(state.trial_id)
    # A job that is through with its own task runs what nobody has claimed.
    concerned = {
        job: trials.union(*(planned_trials(one, job) for one in sweep.submissions))
        for job, trials in runs.items()
        if trials & set(trial_ids)
    }
    running = [job.label for job, trials in concerned.items() if trials <= may_go]
    pending = [label for job in queue if job.state == "PENDING" for label in _tasks(sweep, job, trial_ids, may_go)]
    return list(dict.fromkeys([*running, *pending]))


def _own(state: TrialStatus, queue: "Sequence[Job]") -> "Job | None":
    job = job_of_trial(state, queue) if state.status == "running" else None
    return job if job is not None and job.state != "PENDING" else None


def _tasks(sweep: SweepStatus, job: "Job", trial_ids: Collection[str], may_go: Collection[str]) -> list[str]:
    """Return the elements of a pending job whose trials are all to be cancelled, or have ended (`may_go` are both)."""
    from persona_exp.launch.sweeps.submission_record import task_numbers

    submission = next((one for one in sweep.submissions if one.job_name == job.name), None)
    if submission is None:
        return []
    trials = {number: {seal.split("/")[0] for seal in submission.tasks[number]} for number in task_numbers(job, submission)}
    chosen = [number for number, own in trials.items() if own & set(trial_ids) and own <= set(may_go)]
    if not chosen or job.array_id is None or job.task_id is not None:
        return [job.label] if chosen else []
    # Of an array that has not started: its element 0 is at the first of its tasks.
    (first,) = task_numbers(replace(job, task_id=0), submission)
    return [f"{job.array_id}_{number - first}" for number in chosen]


def _single_jobs(runs: Path, chosen: dict[str, TrialStatus]) -> list[str]:
    """Return the jobs in this user's queue that were submitted for one of these trials alone. Another job may run more than it."""
    from persona_exp.launch.job_resume_command import trial_of_job

    # The job of a trial measures its base rows too.
    own = [state for state in chosen.values() if state.job and trial_of_job(runs, str(state.job.get("id"))) in chosen]
    queue = queued_jobs(list({str(state.job.get("name")) for state in own if state.job})) or ()
    return list(dict.fromkeys(job.label for state in own if (job := job_of_trial(state, queue))))


def _local_commands(statuses: Sequence[SweepStatus], sweeps: Sequence[str]) -> list[dict[str, Any]]:
    """Return the records of the commands that run whole sweeps on this machine; they pass signals on."""
    return [
        last.by
        for sweep in statuses
        if sweep.name in sweeps and sweep.submissions
        for last in [sweep.submissions[-1]]
        if last.launcher == "local" and process_gone(last.by) is False
    ]


def _processes(states: Sequence[TrialStatus]) -> list[dict[str, Any]]:
    """Return the records of the processes of trials that no sweep asks for: a sweep's worker would stop others too."""
    return [state.record for state in states if state.status == "running" and not state.job]


def _terminate(record: dict[str, Any]) -> bool:
    """Send SIGTERM; return whether the process is of this machine and was still there. Raise UserError where it is another user's."""
    pid = int(record["pid"])
    if pid == os.getpid() or process_gone(record) is not False:
        return False
    try:
        os.kill(pid, signal.SIGTERM)
    except PermissionError:
        raise UserError(f"Process {pid} is another user's; ask them to stop it.") from None
    except ProcessLookupError:
        return False
    return True


def _out_of_reach(sweep: SweepStatus, chosen: dict[str, TrialStatus]) -> list[str]:
    """Return the trials that run where no signal reaches from here: another machine without Slurm, or a Slurm that does not answer."""
    running = [state for state in sweep.states if state.trial_id in chosen and state.status == "running"]
    return [one.trial_id for one in running if (sweep.queue if one.job else process_gone(one.record)) is None]


def person() -> str:
    """Return the name of who gives the command."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _print(answer: dict[str, Any]) -> None:
    for name in answer["searches"]:
        print(f"{name} asks for no more trials.")
    if not answer["cancelled"]:
        print("Nothing was left to cancel." if not answer["searches"] else "No trial of it was open.")
    else:
        jobs = f", {counted(len(answer['jobs']), 'job')} with them" if answer["jobs"] else ""
        print(f"{counted(len(answer['cancelled']), 'trial')} cancelled{jobs}; `persona-exp retry` takes it back.")
    if answer["processes"]:
        print("What runs on this machine saves its last whole step and stops.")
    if answer["ended_before"]:
        print(f"{counted(len(answer['ended_before']), 'trial')} had ended before.")
    for trial_id, sweep in answer["left_to_other_sweeps"].items():
        print(f"{trial_id} is left to {sweep}, which asks for it too; name it itself to cancel it.")
    for trial_id in dict.fromkeys(answer["out_of_reach"]):
        print(f"{trial_id} runs where it cannot be stopped from here; its worker sees it within seconds, or before its next start.")
