"""Trials on this machine: one after the other with the child's own output, or side by side with a table of them all."""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from persona_exp.launch.recovery.heartbeat_lease import Observer
from persona_exp.launch.recovery.retry_decision import decide
from persona_exp.launch.sweeps.submission_record import Submission, read
from persona_exp.launch.workers.output_relay import print_line
from persona_exp.launch.workers.training_process import TrainingProcess
from persona_exp.launch.workers.worker_loop import FAILED, FINISHED, INTERRUPTED, Worker
from persona_exp.launch.workers.worker_pool import WorkerPool
from persona_exp.launch.workers.worker_tasks import WorkerTasks, seal_name, tasks_of_submission
from persona_exp.process_identity import this_job
from persona_exp.progress_bar import clock
from persona_exp.trial.trial_status import ENDED_STATUSES, TrialStatus, read_status, read_statuses

if TYPE_CHECKING:
    from persona_exp.launch.sweeps.live_status_table import Screen

POLL_SECONDS = 0.5
# Trials that are announced so soon after one another are handed to one process.
AT_ONCE_SECONDS = 0.05
# What a child does not get any further in so many goes is left to a person.
GOES = 3

HINT = "Ctrl-C stops it, and the same command goes on."


def run_locally(submission: Path, *, n_jobs: int, gpus: Sequence[str], titles: Mapping[str, str]) -> int:
    """Run `n_jobs` workers once on a submission; return 0, 1 when a trial failed, 75 when asked to leave. `titles` by trial id."""
    made = read(submission)
    tasks = tasks_of_submission(made)
    jobs = min(n_jobs, len(tasks.tasks))
    if jobs > 1:
        return _side_by_side(made, tasks, jobs, gpus, titles)
    with TrainingProcess(gpu=gpus[0] if gpus else None) as child:
        return Worker(tasks, child, announce=_Titles(titles, len(tasks.seals))).run()


def run_alone(tasks: WorkerTasks, title: str, gpus: Sequence[str] = ()) -> int:
    """Run a trial of no sweep to its end, waiting while it runs elsewhere, and return the exit code.

    A cancelled one ends with 1, not 75, with which its job would go back into the queue again and again.
    """
    (seal,) = tasks.seals
    directory = tasks.directory(seal)
    observer, waiting, goes = Observer(tasks.lease_seconds, job=this_job()), False, 0
    with TrainingProcess(gpu=gpus[0] if gpus else None) as child:
        while child.signalled is None:
            found = decide(directory, seal_name(seal), observer.liveness)
            if found.next == "finished":
                return FINISHED
            if found.next == "cancelled":
                return _cancelled(directory.trial_id)
            if found.next == "failed" or goes == GOES:
                if not goes:
                    print_line(_failed_before(read_status(directory.path)))
                return FAILED
            if found.next == "wait":
                if not waiting:
                    print_line(f"Trial {directory.trial_id} is running elsewhere; waiting for it.")
                waiting = True
                time.sleep(POLL_SECONDS)
                continue
            goes += 1
            code = Worker(tasks, child, announce=_Titles({directory.trial_id: title}, 1)).run()
            if code:
                stopped = decide(directory, seal_name(seal), observer.liveness).next == "cancelled"
                return _cancelled(directory.trial_id) if stopped else code
    print_line(f"Stopped waiting: trial {directory.trial_id} goes on where it runs, and the same command comes back to it.")
    return INTERRUPTED


def _cancelled(trial_id: str) -> int:
    print_line(f"Trial {trial_id} was cancelled; `persona-exp retry {trial_id}` takes that back, and so does the same command given anew.")
    return FAILED


def _failed_before(state: TrialStatus) -> str:
    failure = f"Trial {state.trial_id} failed before ({state.cause}): {state.message}"
    return f"error: {failure}; `persona-exp retry {state.trial_id}` lets it try again."


class _Titles:
    """Announces each trial, and how long the rest may take; trials that start together are one paragraph."""

    def __init__(self, titles: Mapping[str, str], trials: int) -> None:
        self._titles, self._trials = titles, trials
        self._started, self._announced = time.monotonic(), list[str]()
        self._last: float | None = None

    def __call__(self, seal: str) -> None:
        trial_id, now = seal.split("/")[0], time.monotonic()
        again = seal in self._announced
        along = self._last is not None and now - self._last < AT_ONCE_SECONDS
        done = len(self._announced)
        left = (now - self._started) / done * (self._trials - done) if done and not again and not along else None
        estimate = f", about {clock(left)} left" if left else ""
        if not again:
            self._announced.append(seal)
        self._last = now
        # Some may have been added since.
        trials = max(self._trials, len(self._announced))
        paragraph = "" if along else "\n"
        print_line(f"{paragraph}[{self._announced.index(seal) + 1}/{trials}] {self._titles.get(trial_id, '')} (trial {trial_id}{estimate})")


def _side_by_side(submission: Submission, tasks: WorkerTasks, jobs: int, gpus: Sequence[str], titles: Mapping[str, str]) -> int:
    from persona_exp.launch.sweeps.live_status_table import live_status

    known: dict[str, TrialStatus] = {}
    with WorkerPool(submission, tasks, gpus, jobs) as pool, live_status(submission.sweep, titles, hint=HINT) as shown:
        for task in range(jobs):
            pool.start(task)
        going = True
        while going:
            going = pool.running()
            began = time.monotonic()
            left = [one for one in tasks.trial_ids if one not in known or known[one].status not in ENDED_STATUSES]
            known |= {state.trial_id: state for state in read_statuses(tasks.runs, left)}
            _show(shown, [known[one] for one in tasks.trial_ids])
            # Reading a thousand trials must not take a core of its own.
            if going:
                time.sleep(max(POLL_SECONDS, 5 * (time.monotonic() - began)))
    return pool.code()


def _show(shown: "Screen", states: Sequence[TrialStatus]) -> None:
    try:
        shown.show(states)
    except OSError:
        # Nobody reads any more (`| head`); the trials go on.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
