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

from persona_exp import files
from persona_exp.cli.find import find, runs_folder
from persona_exp.cli.quantities import several
from persona_exp.cli.standing import Standing, ask, job_of, of_trial, planned, standings
from persona_exp.errors import UserError
from persona_exp.trial.attempt import now, process_gone
from persona_exp.trial.reader import read_sweep, sweep_names
from persona_exp.trial.state import ENDED, State, read_state

if TYPE_CHECKING:
    from persona_exp.launch.slurm.queue import Job


def add_commands(nouns: Any) -> None:
    """Add the verb `cancel`."""
    cancel = nouns.add_parser("cancel", help="stop a sweep or some trials; `retry` takes it back")
    cancel.add_argument("names", nargs="+", metavar="SWEEP|TRIAL", help="names or ids, or the beginning of them")
    cancel.add_argument("--json", action="store_true", help="print JSON")
    cancel.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> tuple[int, Any]:
    runs = runs_folder()
    named = [find(runs, name) for name in arguments.names]
    sweeps = list(dict.fromkeys(sweep for sweep, _ in named if sweep))
    trials = list(dict.fromkeys(trial for _, trial in named if trial))
    answer = cancel(runs, sweeps, trials)
    if not arguments.json:
        _print(answer)
    return 0, answer


def cancel(runs: Path, sweeps: Sequence[str], trials: Sequence[str]) -> dict[str, Any]:
    """Cancel whole sweeps and single trials; what was done, as plain JSON values. A trial that has ended stays as it is.

    A trial that another sweep with work left asks for too stays with that one, unless it was named itself.
    """
    concerned = list(dict.fromkeys([*sweeps, *(name for trial in trials for name in of_trial(runs, trial))]))
    places = standings(runs, concerned)
    theirs = _asked_by_others(runs, sweeps)
    of_sweeps = [state for place in places if place.folder.name in sweeps for state in place.states]
    found = {state.trial_id: state for state in [*of_sweeps, *(_state(runs, places, trial) for trial in trials)]}
    left = {one: theirs[one] for one, state in found.items() if one in theirs and one not in trials and state.status not in ENDED}
    chosen = {one: state for one, state in found.items() if state.status not in ENDED and one not in left}
    for trial_id in chosen:
        # Before any job is told to stop: its worker looks here for whether it may ask for the job again.
        files.create_text(runs / "trials" / trial_id / "cancel.json", json.dumps({"at": now(), "by": _person()}) + "\n")
    asked = {state.trial_id for place in places for state in place.states}
    alone = [state for one, state in chosen.items() if one not in asked]
    told, beyond = [], []
    for jobs in [*(_jobs(place, chosen.keys(), whole=place.folder.name in sweeps) for place in places), _single_jobs(runs, alone)]:
        if jobs:
            from persona_exp.launch.slurm import submit

            submit.cancel(jobs)
        told += jobs
    for place in places:
        beyond += _beyond_reach(place, chosen)
    processes = [one for one in [*_makers(places, sweeps), *_processes(alone)] if _terminate(one)]
    return {
        "cancelled": list(chosen),
        "ended_before": [one for one, state in found.items() if state.status in ENDED],
        "left_to_other_sweeps": left,
        "jobs": told,
        "processes": [int(one["pid"]) for one in processes],
        "out_of_reach": beyond,
    }


def _state(runs: Path, places: Sequence[Standing], trial_id: str) -> State:
    found = [state for place in places for state in place.states if state.trial_id == trial_id]
    return next((state for state in found if state.status not in ENDED), found[0] if found else read_state(runs / "trials" / trial_id))


def _asked_by_others(runs: Path, sweeps: Sequence[str]) -> dict[str, str]:
    """The trials that sweeps beside those named ask for and that were submitted there, with that sweep's name."""
    others = [name for name in sweep_names(runs) if sweeps and name not in sweeps and (runs / "sweeps" / name / "submissions").is_dir()]
    return {trial.trial_id: name for name in others for trial in read_sweep(runs, name).trials}


def _jobs(place: Standing, trial_ids: Collection[str], *, whole: bool) -> list[str]:
    """What scancel is to be told: all jobs of a whole sweep; else the tasks that run, or would run, these trials alone.

    A trial that shares its task with others is stopped by its worker, which looks for its cancel.json.
    """
    queue = place.queue or ()
    if whole:
        return list(dict.fromkeys(job.array_id or job.id for job in queue))
    may_go = {*trial_ids, *(state.trial_id for state in place.states if state.status in ENDED)}
    runs: dict[Job, set[str]] = defaultdict(set)
    for state in place.states:
        if job := _own(state, queue):
            runs[job].add(state.trial_id)
    # A job that is through with its own task runs what nobody has claimed.
    concerned = {
        job: trials.union(*(planned(one, job) for one in place.submissions)) for job, trials in runs.items() if trials & set(trial_ids)
    }
    running = [job.label for job, trials in concerned.items() if trials <= may_go]
    waiting = [label for job in queue if job.state == "PENDING" for label in _tasks(place, job, trial_ids, may_go)]
    return list(dict.fromkeys([*running, *waiting]))


def _own(state: State, queue: "Sequence[Job]") -> "Job | None":
    job = job_of(state, queue) if state.status == "running" else None
    return job if job is not None and job.state != "PENDING" else None


def _tasks(place: Standing, job: "Job", trial_ids: Collection[str], may_go: Collection[str]) -> list[str]:
    """The elements of a job that has not started whose trials are all to be cancelled, or have ended (`may_go` are both)."""
    from persona_exp.launch.sweeps.submission import task_numbers

    submission = next((one for one in place.submissions if one.job_name == job.name), None)
    if submission is None:
        return []
    trials = {number: {seal.split("/")[0] for seal in submission.tasks[number]} for number in task_numbers(job, submission)}
    wanted = [number for number, own in trials.items() if own & set(trial_ids) and own <= set(may_go)]
    if not wanted or job.array_id is None or job.task_id is not None:
        return [job.label] if wanted else []
    # Of an array that has not started: its element 0 is at the first of its tasks.
    (first,) = task_numbers(replace(job, task_id=0), submission)
    return [f"{job.array_id}_{number - first}" for number in wanted]


def _single_jobs(runs: Path, states: Sequence[State]) -> list[str]:
    """The jobs in this user's queue that were submitted for one of these trials alone. In another job more may be at work."""
    from persona_exp.launch.note import single_trial

    own = [state for state in states if state.job and single_trial(runs, str(state.job.get("id"))) == state.trial_id]
    queue = ask(list({str(state.job.get("name")) for state in own if state.job})) or ()
    return [job.label for state in own if (job := job_of(state, queue))]


def _makers(places: Sequence[Standing], sweeps: Sequence[str]) -> list[dict[str, Any]]:
    """Records of the commands that run whole sweeps on this machine; they pass on what they are told."""
    return [
        last.by
        for place in places
        if place.folder.name in sweeps and place.submissions
        for last in [place.submissions[-1]]
        if last.launcher == "local" and process_gone(last.by) is False
    ]


def _processes(states: Sequence[State]) -> list[dict[str, Any]]:
    """Records of the processes of trials that no sweep asks for. Told itself, a sweep's would make its worker leave the others too."""
    return [state.record for state in states if state.status == "running" and not state.job]


def _terminate(record: dict[str, Any]) -> bool:
    """Whether the process is of this machine, still there, and told."""
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


def _beyond_reach(place: Standing, chosen: dict[str, State]) -> list[str]:
    """Trials that run where they cannot be told from here: another machine without Slurm, or a Slurm that does not answer."""
    running = [state for state in place.states if state.trial_id in chosen and state.status == "running"]
    return [one.trial_id for one in running if (place.queue if one.job else process_gone(one.record)) is None]


def _person() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _print(answer: dict[str, Any]) -> None:
    if not answer["cancelled"]:
        print("Nothing was left to cancel.")
    else:
        jobs = f", {several(len(answer['jobs']), 'job')} with them" if answer["jobs"] else ""
        print(f"{several(len(answer['cancelled']), 'trial')} cancelled{jobs}; `persona-exp retry` takes it back.")
    if answer["processes"]:
        print("What runs on this machine saves its last whole step and stops.")
    if answer["ended_before"]:
        print(f"{several(len(answer['ended_before']), 'trial')} had ended before.")
    for trial_id, sweep in answer["left_to_other_sweeps"].items():
        print(f"{trial_id} is left to {sweep}, which asks for it too; name it itself to cancel it.")
    for trial_id in dict.fromkeys(answer["out_of_reach"]):
        print(f"{trial_id} runs where it cannot be told from here; its worker sees it within seconds, or before its next start.")
