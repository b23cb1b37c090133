"""Trials on this machine: one after the other with the child's own output, or side by side with a table of them all."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, BinaryIO

from persona_exp.launch.child import STOPPING, Child, environment
from persona_exp.launch.observer import Observer
from persona_exp.launch.retry import verdict
from persona_exp.launch.saying import say
from persona_exp.launch.submission import Submission, read
from persona_exp.launch.work import Work, of_submission, seal_name
from persona_exp.launch.worker import FAILED, FINISHED, INTERRUPTED, Worker
from persona_exp.progress import clock
from persona_exp.training.interruption import SIGNALS
from persona_exp.trial.attempt import job as this_job
from persona_exp.trial.state import ENDED, State, read_state, read_states

if TYPE_CHECKING:
    from persona_exp.launch.screen import Screen

POLL_SECONDS = 0.5
# A worker that somebody kills is started again so often.
RESTARTS = 3
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
    """Run a trial of no sweep to its end, waiting while it runs elsewhere; the exit code."""
    (seal,) = work.seals
    directory = work.directory(seal)
    observer, waiting, goes = Observer(work.lease_seconds, job=this_job()), False, 0
    with Child(gpu=gpus[0] if gpus else None) as child:
        while child.signalled is None:
            found = verdict(directory, seal_name(seal), observer.judge)
            if found.next == "finished":
                return FINISHED
            if found.next == "cancelled":
                say(f"Trial {directory.trial_id} was cancelled; the same command takes that back.")
                return INTERRUPTED
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
                return code
    say(f"Stopped waiting: trial {directory.trial_id} goes on where it runs, and the same command comes back to it.")
    return INTERRUPTED


def _failed_before(state: State) -> str:
    told = f"Trial {state.trial_id} failed before ({state.cause}): {state.message}"
    return f"error: {told}; `persona-exp retry {state.trial_id}` lets it try again."


class _Titles:
    """Says before each trial what it is, and how long the rest may take."""

    def __init__(self, titles: Mapping[str, str], trials: int) -> None:
        self._titles, self._trials = titles, trials
        self._started, self._told = time.monotonic(), list[str]()

    def __call__(self, seal: str) -> None:
        trial_id = seal.split("/")[0]
        again = seal in self._told
        done = len(self._told)
        left = (time.monotonic() - self._started) / done * (self._trials - done) if done and not again else None
        estimate = f", about {clock(left)} left" if left else ""
        if not again:
            self._told.append(seal)
        say(f"\n[{self._told.index(seal) + 1}/{self._trials}] {self._titles.get(trial_id, '')} (trial {trial_id}{estimate})")


class _Crew:
    """Workers as processes of their own; while the block lasts, signals go to them."""

    def __init__(self, submission: Submission, work: Work, gpus: Sequence[str]) -> None:
        self.signalled = False
        self._submission, self._work, self._gpus = submission, work, gpus
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._restarts: dict[int, int] = {}
        self._logs = ExitStack()

    def __enter__(self) -> "_Crew":
        self._before = {number: signal.signal(number, self._forward) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._logs.close()

    def start(self, task: int) -> None:
        """Start the worker of a task."""
        code = self._work.code(self._work.tasks[task][0])
        gpu = self._gpus[task % len(self._gpus)] if self._gpus else None
        command = [sys.executable, "-m", "persona_exp.launch.worker", str(self._submission.path), "--task", str(task)]
        command += ["--parent", str(os.getpid()), *(["--gpu", gpu] if gpu is not None else [])]
        log = self._log(task)
        # In a session of its own, so that Ctrl-C reaches it through us alone, once.
        self._processes[task] = subprocess.Popen(
            command, cwd=code, env=environment(code, gpu), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        if self.signalled:
            self._processes[task].terminate()

    def running(self) -> bool:
        """Whether any worker is still at it; one that was killed is started again."""
        for task, process in list(self._processes.items()):
            code = process.poll()
            if code is not None and code < 0 and not self.signalled and self._restarts.get(task, 0) < RESTARTS:
                self._restarts[task] = self._restarts.get(task, 0) + 1
                say(f"Worker {task} was killed by {signal.Signals(-code).name}; started again.")
                self.start(task)
        return any(process.poll() is None for process in self._processes.values())

    def code(self) -> int:
        """The worst exit code."""
        codes = [process.returncode for process in self._processes.values()]
        return INTERRUPTED if self.signalled else max(FAILED if code < 0 else code for code in codes)

    def _log(self, task: int) -> BinaryIO:
        logs = self._submission.folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        return self._logs.enter_context((logs / f"worker-{task}.log").open("ab"))

    def _forward(self, number: int, frame: FrameType | None) -> None:
        first, self.signalled = not self.signalled, True
        for process in self._processes.values():
            process.send_signal(number)
        if first:
            with suppress(OSError):
                os.write(2, STOPPING)


def _side_by_side(submission: Submission, work: Work, jobs: int, gpus: Sequence[str], titles: Mapping[str, str]) -> int:
    from persona_exp.launch.screen import screen

    known: dict[str, State] = {}
    with _Crew(submission, work, gpus) as crew, screen(submission.sweep, titles, hint=HINT) as shown:
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
