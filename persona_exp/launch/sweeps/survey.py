"""How a sweep stands: which trials ought to run and have no job, which run or wait for theirs."""

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from persona_exp.launch.judgement.observer import Observer
from persona_exp.launch.judgement.retry import Verdict, verdict
from persona_exp.launch.sweeps import wanted
from persona_exp.launch.sweeps.submission import Submission, covered, in_making, submissions
from persona_exp.launch.sweeps.wanted import Wanted
from persona_exp.trial.seal import read_seal_facts
from persona_exp.trial.state import read_state, saved_step

# While heartbeats are watched, the sweep is looked at this often, and for so much longer than a lease.
POLL_SECONDS, MARGIN_SECONDS = 5.0, 5.0
SLICE_SECONDS = 0.1


@dataclass(frozen=True)
class Survey:
    """`after` is the number of the newest submission, 0 without any; `left` ought to run and have neither a job nor a live attempt,
    `going` run, or wait for their job, or for the word whether their attempt still lives; `jobless` are those of them without a job of
    the sweep in the queue. `answered`: Slurm told its queue.
    """

    after: int
    submissions: tuple[Submission, ...]
    asked: tuple[Wanted, ...]
    verdicts: dict[str, Verdict]
    left: tuple[Wanted, ...]
    going: tuple[Wanted, ...]
    jobless: tuple[Wanted, ...]
    answered: bool

    @property
    def doubtful(self) -> tuple[Wanted, ...]:
        """Those without a job whose attempt cannot be told from a dead one yet: nobody comes to them unless somebody goes on watching."""
        return tuple(one for one in self.jobless if self.verdicts[one.seal].suspicious)

    def progress(self, sweep_folder: Path) -> list[int]:
        """How many trials have ended, and how many steps the others have saved: a round that changes neither brought nothing."""
        unended = {one.trial_id: one for one in (*self.left, *self.going)}
        # The highest of all attempts: one that died before it had loaded a checkpoint has lost none.
        saved = [saved_step(one.directory(sweep_folder).path) or 0 for one in unended.values()]
        return [len(self.asked) - len(self.left) - len(self.going), sum(saved)]


def survey(sweep_folder: Path, observer: Observer) -> Survey:
    """Look at a sweep once. Raises UserError where a record is damaged."""
    # The submissions first, then the queue, then the trials: what ends meanwhile is seen to have ended, and what another submits
    # meanwhile makes a record that follows `after` come second.
    made = submissions(sweep_folder)
    queued = covered(made)
    # Whoever is still at it will submit all of its tasks.
    making = {seal for one in made if in_making(one) for task in one.tasks for seal in task}
    asked = wanted.read(sweep_folder)
    found = {one.seal: verdict(one.directory(sweep_folder), one.seal_name, observer.judge) for one in asked}
    taken: dict[str, set[str]] = defaultdict(set)
    for seal in making | (queued or set()):
        taken[seal.split("/")[0]].add(seal)
    trials = sweep_folder.parent.parent / "trials"
    lost = {one.seal for one in asked if found[one.seal].next == "run" and not _served(one.seal, taken[one.trial_id], trials)}
    going = tuple(one for one in asked if one.seal not in lost and found[one.seal].next in ("run", "wait"))
    return Survey(
        after=made[-1].number if made else 0,
        submissions=tuple(made),
        asked=tuple(asked),
        verdicts=found,
        left=tuple(one for one in asked if one.seal in lost),
        going=going,
        jobless=tuple(one for one in going if not taken[one.trial_id]),
        answered=queued is not None,
    )


def settle(sweep_folder: Path, observer: Observer, leave: Callable[[], bool] = lambda: False) -> Survey:
    """Look at a sweep, and go on looking while it has doubtful trials: for about a lease, which is said, or until `leave`."""
    seen = survey(sweep_folder, observer)
    if not seen.doubtful or not seen.answered:
        return seen
    seconds = _lease(sweep_folder, seen.doubtful, observer) + MARGIN_SECONDS
    told = f"{len(seen.doubtful)} trials of {sweep_folder.name} have no job in the queue, and an attempt without a last word"
    print(f"{told}: watching their heartbeat for up to {seconds:.0f} seconds.", file=sys.stderr, flush=True)
    until = time.monotonic() + seconds
    while seen.doubtful and seen.answered and time.monotonic() < until and not leave():
        rest(min(POLL_SECONDS, observer.lease_seconds), leave)
        seen = survey(sweep_folder, observer)
    return seen


def _lease(sweep_folder: Path, trials: Sequence[Wanted], observer: Observer) -> float:
    """How long a heartbeat must stand still: longer for trials that were sealed for a slower one, as the observer has it."""
    records = [read_state(one.directory(sweep_folder).path).record for one in trials]
    return max(observer.lease_seconds, *(3 * float(one.get("heartbeat_seconds") or 0) for one in records))


def rest(seconds: float, leave: Callable[[], bool]) -> None:
    """Sleep so long, but no longer than until `leave`."""
    until = time.monotonic() + seconds
    while not leave() and time.monotonic() < until:
        time.sleep(SLICE_SECONDS)


def _served(seal: str, taken: set[str], trials: Path) -> bool:
    """Whether one of `taken`, the seals of its trial that a job will run, is this one, or an older one that asks for the same.

    That the code has changed since is no reason to run a trial twice.
    """
    if not taken or seal in taken:
        return bool(taken)
    asked = read_seal_facts(trials / seal)["evaluations"]
    return any(read_seal_facts(trials / other)["evaluations"] == asked for other in taken)


def of_sweep(made: Sequence[Submission]) -> list[Submission]:
    """Those to Slurm that were planned for the sweep, without single tasks that their workers submitted again."""
    return [one for one in made if one.launcher == "slurm" and one.by["who"] != "worker"]
