"""Trials on this machine: one after the other with the child's own output, or side by side with a table of them all."""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from persona_exp.launch.judgement.observer import Observer
from persona_exp.launch.judgement.retry import verdict
from persona_exp.launch.sweeps.submission import Submission, read
from persona_exp.launch.workers.child import Child
from persona_exp.launch.workers.crew import Crew
from persona_exp.launch.workers.saying import say
from persona_exp.launch.workers.work import Work, of_submission, seal_name
from persona_exp.launch.workers.worker import FAILED, FINISHED, INTERRUPTED, Worker
from persona_exp.progress import clock
from persona_exp.trial.attempt import job as this_job
from persona_exp.trial.state import ENDED, State, read_state, read_states

if TYPE_CHECKING:
    from persona_exp.launch.sweeps.screen import Screen

POLL_SECONDS = 0.5
# Trials that are told of so soon after one another are handed to one process.
AT_ONCE_SECONDS = 0.05
# What a child does not get any further in so many goes is left to a person.
GOES = 3

HINT = "Ctrl-C stops it, and the same command goes on."


def run_locally(submission: Path, *, n_jobs: int, gpus: Sequence[str], titles: Mapping[str, str]) -> int:
    """One go of `n_jobs` workers at what a submission holds: 0, 1 when a trial failed, 75 when asked to leave. `titles` by trial id."""
    made = read(submission)
    work = of_submission(made)
    jobs = min(n_jobs, len(work.tasks))
    if jobs > 1:
        return _side_by_side(made, work, jobs, gpus, titles)
    with Child(gpu=gpus[0] if gpus else None) as child:
        return Worker(work, child, announce=_Titles(titles, len(work.seals))).run()


def run_alone(work: Work, title: str, gpus: Sequence[str] = ()) -> int:
    """Run a trial of no sweep to its end, waiting while it runs elsewhere; the exit code.

    A cancelled one ends with 1, not 75, with which its job would go back into the queue again and again.
    """
    (seal,) = work.seals
    directory = work.directory(seal)
    observer, waiting, goes = Observer(work.lease_seconds, job=this_job()), False, 0
    with Child(gpu=gpus[0] if gpus else None) as child:
        while child.signalled is None:
            found = verdict(directory, seal_name(seal), observer.judge)
            if found.next == "finished":
                return FINISHED
            if found.next == "cancelled":
                return _cancelled(directory.trial_id)
            if found.next == "failed" or goes == GOES:
                if not goes:
                    say(_failed_before(read_state(directory.path)))
                return FAILED
            if found.next == "wait":
                if not waiting:
                    say(f"Trial {directory.trial_id} is running elsewhere; waiting for it.")
                waiting = True
                time.sleep(POLL_SECONDS)
                continue
            goes += 1
            code = Worker(work, child, announce=_Titles({directory.trial_id: title}, 1)).run()
            if code:
                stopped = verdict(directory, seal_name(seal), observer.judge).next == "cancelled"
                return _cancelled(directory.trial_id) if stopped else code
    say(f"Stopped waiting: trial {directory.trial_id} goes on where it runs, and the same command comes back to it.")
    return INTERRUPTED


def _cancelled(trial_id: str) -> int:
    say(f"Trial {trial_id} was cancelled; `persona-exp retry {trial_id}` takes that back, and so does the same command given anew.")
    return FAILED


def _failed_before(state: State) -> str:
    told = f"Trial {state.trial_id} failed before ({state.cause}): {state.message}"
    return f"error: {told}; `persona-exp retry {state.trial_id}` lets it try again."


class _Titles:
    """Says before each trial what it is, and how long the rest may take; trials that start together are one paragraph."""

    def __init__(self, titles: Mapping[str, str], trials: int) -> None:
        self._titles, self._trials = titles, trials
        self._started, self._told = time.monotonic(), list[str]()
        self._last: float | None = None

    def __call__(self, seal: str) -> None:
        trial_id, now = seal.split("/")[0], time.monotonic()
        again = seal in self._told
        along = self._last is not None and now - self._last < AT_ONCE_SECONDS
        done = len(self._told)
        left = (now - self._started) / done * (self._trials - done) if done and not again and not along else None
        estimate = f", about {clock(left)} left" if left else ""
        if not again:
            self._told.append(seal)
        self._last = now
        paragraph = "" if along else "\n"
        say(f"{paragraph}[{self._told.index(seal) + 1}/{self._trials}] {self._titles.get(trial_id, '')} (trial {trial_id}{estimate})")


def _side_by_side(submission: Submission, work: Work, jobs: int, gpus: Sequence[str], titles: Mapping[str, str]) -> int:
    from persona_exp.launch.sweeps.screen import screen

    known: dict[str, State] = {}
    with Crew(submission, work, gpus, jobs) as crew, screen(submission.sweep, titles, hint=HINT) as shown:
        for task in range(jobs):
            crew.start(task)
        going = True
        while going:
            going = crew.running()
            began = time.monotonic()
            left = [one for one in work.trial_ids if one not in known or known[one].status not in ENDED]
            known |= {state.trial_id: state for state in read_states(work.runs, left)}
            _show(shown, [known[one] for one in work.trial_ids])
            # Looking at a thousand trials must not take a core of its own.
            if going:
                time.sleep(max(POLL_SECONDS, 5 * (time.monotonic() - began)))
    return crew.code()


def _show(shown: "Screen", states: Sequence[State]) -> None:
    try:
        shown.show(states)
    except OSError:
        # Nobody looks any more (`| head`); the trials go on.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
