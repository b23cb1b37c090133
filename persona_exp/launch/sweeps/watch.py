"""Watching a sweep on Slurm to its end, and leaving it alone when the person or the terminal goes away."""

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from persona_exp.launch.judgement.observer import LEASE_SECONDS, Observer
from persona_exp.launch.sweeps import wanted
from persona_exp.launch.sweeps.conclusion import conclude
from persona_exp.launch.sweeps.keeper import Tended, lease, tend
from persona_exp.launch.sweeps.screen import screen
from persona_exp.launch.sweeps.submission import latest, submissions
from persona_exp.launch.sweeps.survey import rest
from persona_exp.training.interruption import SIGNALS
from persona_exp.trial.state import ENDED, State, read_states

if TYPE_CHECKING:
    from persona_exp.launch.slurm.queue import Job

DETACHED = 75
# Slurm is asked no more often than this, once the first seconds are over.
TEND_SECONDS = 10.0
# And where it refuses, more and more seldom.
SELDOM_SECONDS = 300.0
# USR2 is what a launcher that is itself in a job gets before the time limit.
LEAVE = (*SIGNALS, signal.SIGHUP)


class Leaving:
    """While it holds, a signal is remembered and ends nothing: what is being submitted is submitted whole."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> "Leaving":
        self._before = {number: signal.signal(number, self._ask) for number in LEAVE}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        if number == signal.SIGHUP:
            # The terminal is gone: what would be printed on it would be an error.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for output in (sys.stdout, sys.stderr):
                os.dup2(nowhere, output.fileno())


def watch(sweep_folder: Path, titles: Mapping[str, str] | None = None, *, leaving: Leaving | None = None) -> int:
    """Show the sweep until all its trials have ended, submitting again what is lost; then the report.

    0 when all are finished, 1 when some are not, 75 when a signal made it leave; the sweep goes on without it.
    """
    if leaving is None:
        with Leaving() as own:
            return watch(sweep_folder, titles, leaving=own)
    asked = wanted.read(sweep_folder)
    last = latest(sweep_folder)
    observer = Observer(lease(last) if last else LEASE_SECONDS)
    if _follow(sweep_folder, titles or wanted.titles(asked), list(dict.fromkeys(one.trial_id for one in asked)), observer, leaving):
        return conclude(sweep_folder)
    print(
        f"\nDetached: {sweep_folder.name} goes on. The same command comes back to it; `persona-exp status` shows it, "
        f"`persona-exp cancel {sweep_folder.name}` ends it.",
        flush=True,
    )
    return DETACHED


def _follow(sweep_folder: Path, titles: Mapping[str, str], trial_ids: Sequence[str], observer: Observer, leaving: Leaving) -> bool:
    """Show the sweep until it has ended; False when somebody wants to leave before that."""
    from persona_exp.launch.slurm.submit import Refused

    runs, started, tended_at, refusals = sweep_folder.parent.parent, time.monotonic(), float("-inf"), 0
    known: dict[str, State] = {}
    waiting: dict[str, str] = {}
    released: set[str] = set()
    told: set[str] = set()
    said = ("", "")
    with screen(sweep_folder.name, titles, hint="Ctrl-C leaves the sweep running.") as shown:
        while not leaving.asked:
            pause = min(2.0, max(0.2, (time.monotonic() - started) / 20))
            try:
                open_ids = [one for one in trial_ids if one not in known or known[one].status != "finished"]
                known |= {state.trial_id: state for state in read_states(runs, open_ids)}
                states = [known[one] for one in trial_ids]
                shown.show(states, waiting)
                over = all(state.status in ENDED for state in states)
                often = min(pause, TEND_SECONDS) if over else TEND_SECONDS
                if time.monotonic() - tended_at >= min(SELDOM_SECONDS, often * 2**refusals):
                    tended_at = time.monotonic()
                    try:
                        tended = tend(sweep_folder, observer)
                    except Refused as refused:
                        refusals = min(refusals + 1, 10)
                        _tell_once(f"{refused}", told)
                    else:
                        refusals = 0
                        if tended.ended:
                            if tended.what == "given up":
                                print(f"Given up: {tended.why}.", flush=True)
                            return True
                        if (tended.what, tended.why) != said:
                            said = (tended.what, tended.why)
                            _tell(tended)
                    jobs = _jobs(sweep_folder)
                    waiting = _reasons(sweep_folder, jobs)
                    _release(sweep_folder, jobs, released, told)
            except BrokenPipeError:
                # The screen's, not a file's.
                raise
            except OSError as error:
                # A file server that was away, or a file replaced while it was read.
                _tell_once(f"A file of {sweep_folder.name} cannot be used: {error}.", told)
            rest(pause, lambda: leaving.asked)
    return False


def _tell_once(refused: str, told: set[str]) -> None:
    """Say that Slurm refused something, or a file could not be used, without the names that differ from one try to the next."""
    reason = refused.partition(": ")[2] or refused
    if reason not in told:
        told.add(reason)
        print(f"{refused} Asking again.", flush=True)


def _tell(tended: Tended) -> None:
    if tended.what == "submitted" and tended.submission:
        print(f"Submitted again: {tended.why} (submission {tended.submission.number}).", flush=True)
    elif tended.what == "held":
        print(f"The sweep is held: {tended.why}", flush=True)
    elif tended.what == "unknown":
        print(f"{tended.why}; asking again.", flush=True)


def _jobs(sweep_folder: Path) -> "list[Job]":
    from persona_exp.launch.slurm.queue import queued

    return queued([one.job_name for one in submissions(sweep_folder) if one.launcher == "slurm"]) or []


def _reasons(sweep_folder: Path, jobs: "Sequence[Job]") -> dict[str, str]:
    """Why each trial with a pending job waits, in Slurm's word."""
    from persona_exp.launch.sweeps.submission import task_numbers

    named = {one.job_name: one for one in submissions(sweep_folder)}
    pending = [job for job in jobs if job.state == "PENDING"]
    return {
        seal.split("/")[0]: job.reason
        for job in pending
        for task in task_numbers(job, named[job.name])
        for seal in named[job.name].tasks[task]
    }


def _release(sweep_folder: Path, jobs: "Sequence[Job]", released: set[str], told: set[str]) -> None:
    """Let the arrays go whose canary has passed, should the canary's own worker not have done it."""
    from persona_exp.launch.slurm.submit import Refused, release
    from persona_exp.launch.sweeps import canary
    from persona_exp.trial.directory import trial_directory

    waiting = [job for job in jobs if job.reason == "Dependency" and job.array_id and job.array_id not in released]
    for one in submissions(sweep_folder) if waiting else []:
        own = {job.array_id for job in waiting if job.name == one.job_name and job.array_id}
        if own and one.canary and canary.passed(trial_directory(one.runs, one.trial_ids[0])):
            for array_id in own:
                try:
                    release(array_id)
                except Refused as refused:
                    _tell_once(f"{refused}", told)
                else:
                    released.add(array_id)
