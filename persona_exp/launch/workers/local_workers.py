"""Trials on this machine: one after the other with the child's own output, or side by side with a table of them all."""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from persona_exp.launch.sweeps.submission_record import Submission, read
from persona_exp.launch.workers.output_relay import print_line
from persona_exp.launch.workers.training_process import TrainingProcess
from persona_exp.launch.workers.worker_loop import Worker
from persona_exp.launch.workers.worker_pool import WorkerPool
from persona_exp.launch.workers.worker_tasks import WorkerTasks, tasks_of_submission
from persona_exp.progress_bar import clock
from persona_exp.trial.trial_status import ENDED_STATUSES, TrialStatus, read_statuses

if TYPE_CHECKING:
    from persona_exp.launch.sweeps.live_status_table import Screen

POLL_SECONDS = 0.5
# Trials that are announced so soon after one another are handed to one process.
AT_ONCE_SECONDS = 0.05

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
