"""Watches a sweep on Slurm to its end, and detaches when the person or the terminal goes away."""

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from persona_exp.full_disk import is_full, when_there_is_room
from persona_exp.launch.recovery.heartbeat_lease import LEASE_SECONDS, Observer
from persona_exp.launch.sweeps import trial_set
from persona_exp.launch.sweeps.finish_sweep import finish_sweep
from persona_exp.launch.sweeps.live_status_table import live_status
from persona_exp.launch.sweeps.reconcile import sleep_until
from persona_exp.launch.sweeps.resubmit_lost import KeeperRound, resubmit_lost
from persona_exp.launch.sweeps.submission_record import all_submissions, latest_submission, recorded_jobs
from persona_exp.training.stop_signals import SIGNALS
from persona_exp.trial.trial_status import ENDED_STATUSES, TrialStatus, read_statuses

if TYPE_CHECKING:
    from persona_exp.launch.slurm.slurm_queue import Job

DETACHED = 75
# Slurm is asked no more often than this, once the first seconds are over.
ROUND_SECONDS = 10.0
# And where it refuses, more and more seldom.
SELDOM_SECONDS = 300.0
# USR2 is what a launcher that is itself in a job gets before the time limit.
LEAVE = (*SIGNALS, signal.SIGHUP)


class DetachRequest:
    """While it holds, a signal is remembered and ends nothing: what is being submitted is submitted whole."""

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> "DetachRequest":
        self._before = {number: signal.signal(number, self._request) for number in LEAVE}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        if number == signal.SIGHUP:
            # The terminal is gone: what would be printed on it would be an error.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for output in (sys.stdout, sys.stderr):
                os.dup2(nowhere, output.fileno())


def watch_sweep(sweep_folder: Path, titles: Mapping[str, str] | None = None, *, detach: DetachRequest | None = None) -> int:
    """Show the sweep until all its trials have ended, submitting again what is lost; then write the report.

    Return 0 when all are finished, 1 when some are not, 75 when a signal made it leave; the sweep goes on without it.
    """
    if detach is None:
        with DetachRequest() as own:
            return watch_sweep(sweep_folder, titles, detach=own)
    trials = trial_set.read(sweep_folder)
    last = latest_submission(sweep_folder)
    observer = Observer(last.lease_seconds if last else LEASE_SECONDS)
    if _follow(sweep_folder, titles or trial_set.titles(trials), list(dict.fromkeys(one.trial_id for one in trials)), observer, detach):
        try:
            return when_there_is_room(lambda: finish_sweep(sweep_folder), lambda: detach.requested, _say)
        except OSError as error:
            if not is_full(error):
                raise
    print(
        f"\nDetached: {sweep_folder.name} goes on. The same command comes back to it; `persona-exp status` shows it, "
        f"`persona-exp cancel {sweep_folder.name}` ends it.",
        flush=True,
    )
    return DETACHED


def _follow(sweep_folder: Path, titles: Mapping[str, str], trial_ids: Sequence[str], observer: Observer, detach: DetachRequest) -> bool:
    """Show the sweep until it has ended; return False when a signal asks to detach before that."""
    from persona_exp.launch.slurm.submit_and_cancel import Refused

    runs, started, reconciled_at, refusals = sweep_folder.parent.parent, time.monotonic(), float("-inf"), 0
    known: dict[str, TrialStatus] = {}
    pending: dict[str, str] = {}
    released: set[str] = set()
    warned: set[str] = set()
    printed = ("", "")
    with live_status(sweep_folder.name, titles, hint="Ctrl-C leaves the sweep running.") as shown:
        while not detach.requested:
            pause = min(2.0, max(0.2, (time.monotonic() - started) / 20))
            try:
                open_ids = [one for one in trial_ids if one not in known or known[one].status != "finished"]
                known |= {state.trial_id: state for state in read_statuses(runs, open_ids)}
                states = [known[one] for one in trial_ids]
                shown.show(states, pending)
                over = all(state.status in ENDED_STATUSES for state in states)
                often = min(pause, ROUND_SECONDS) if over else ROUND_SECONDS
                if time.monotonic() - reconciled_at >= min(SELDOM_SECONDS, often * 2**refusals):
                    reconciled_at = time.monotonic()
                    try:
                        one = resubmit_lost(sweep_folder, observer)
                    except Refused as refused:
                        refusals = min(refusals + 1, 10)
                        _warn_once(f"{refused}", warned)
                    else:
                        refusals = 0
                        if one.ended:
                            if one.what == "given up":
                                print(f"Given up: {one.why}.", flush=True)
                            return True
                        if (one.what, one.why) != printed:
                            printed = (one.what, one.why)
                            _print_round(one)
                    jobs = _jobs(sweep_folder)
                    pending = _reasons(sweep_folder, jobs)
                    _release(sweep_folder, jobs, released, warned)
            except OSError as error:
                # A file server that was away, or a file replaced while it was read.
                _warn_once(f"A file of {sweep_folder.name} cannot be used: {error}.", warned)
            sleep_until(pause, lambda: detach.requested)
    return False


def _say(line: str) -> None:
    print(line, flush=True)


def _warn_once(refused: str, warned: set[str]) -> None:
    """Print that Slurm refused something, or a file could not be used, without the names that differ from one try to the next."""
    reason = refused.partition(": ")[2] or refused
    if reason not in warned:
        warned.add(reason)
        print(f"{refused} Asking again.", flush=True)


def _print_round(one: KeeperRound) -> None:
    if one.what == "submitted" and one.submission:
        print(f"Submitted again: {one.why} (submission {one.submission.number}).", flush=True)
    elif one.what == "held":
        print(f"The sweep is held: {one.why}", flush=True)
    elif one.what == "unknown":
        print(f"{one.why}; asking again.", flush=True)


def _jobs(sweep_folder: Path) -> "list[Job]":
    from persona_exp.launch.slurm.slurm_queue import queued

    return queued([one.job_name for one in all_submissions(sweep_folder) if one.launcher == "slurm"]) or []


def _reasons(sweep_folder: Path, jobs: "Sequence[Job]") -> dict[str, str]:
    """Return why each trial with a pending job waits, in Slurm's word."""
    from persona_exp.launch.sweeps.submission_record import task_numbers

    named = {one.job_name: one for one in all_submissions(sweep_folder)}
    pending = [job for job in jobs if job.state == "PENDING"]
    return {
        seal.split("/")[0]: job.reason
        for job in pending
        for task in task_numbers(job, named[job.name])
        for seal in named[job.name].tasks[task]
    }


def _release(sweep_folder: Path, jobs: "Sequence[Job]", released: set[str], warned: set[str]) -> None:
    """Let the arrays go whose canary has passed, should the canary's own worker not have done it."""
    from persona_exp.launch.slurm.slurm_command import cluster_of
    from persona_exp.launch.slurm.submit_and_cancel import Refused, end_dependency
    from persona_exp.launch.sweeps import canary_trial
    from persona_exp.trial.trial_directory import trial_directory

    waiting = [job for job in jobs if job.reason == "Dependency" and job.array_id and job.array_id not in released]
    for one in all_submissions(sweep_folder) if waiting else []:
        # Those that wait since no more tasks may run at once, wait on.
        others = {array["id"] for array in recorded_jobs(one)["arrays"] if array.get("after")}
        own = {job.array_id for job in waiting if job.name == one.job_name and job.array_id and job.array_id not in others}
        if own and one.canary and canary_trial.passed(trial_directory(one.runs, one.trial_ids[0])):
            for array_id in own:
                try:
                    end_dependency(array_id, cluster=cluster_of(one.job_name))
                except Refused as refused:
                    _warn_once(f"{refused}", warned)
                else:
                    released.add(array_id)
