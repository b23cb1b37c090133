"""Compares a sweep's trials with their attempts and Slurm's queue: which ought to run and have no job, which run or wait for theirs."""

import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from persona_exp.counted_noun import counted
from persona_exp.damaged_records import Damaged
from persona_exp.errors import UserError
from persona_exp.launch.recovery.heartbeat_lease import Observer
from persona_exp.launch.recovery.retry_decision import Decision, decide
from persona_exp.launch.sweeps import trial_set
from persona_exp.launch.sweeps.submission_record import Submission, all_submissions, covered, has_jobs, in_making, last_number
from persona_exp.launch.sweeps.trial_set import SweepTrial
from persona_exp.search.ask_files import ask_numbers
from persona_exp.search.study_settings import is_search, read_settings, to_ask
from persona_exp.trial.seal_facts import read_seal_facts
from persona_exp.trial.trial_status import read_status, saved_step

# Where squeue does not answer a person's command at once: the pauses before it is asked again.
PAUSES = (1.0, 3.0, 8.0)
# While heartbeats are watched, the sweep is reconciled this often, and for so much longer than a lease.
POLL_SECONDS, MARGIN_SECONDS = 5.0, 5.0
SLICE_SECONDS = 0.1


@dataclass(frozen=True)
class Reconciliation:
    """`after` is the number of the newest submission, 0 without any; `unserved` ought to run and have neither a job nor a live
    attempt, `going` run, or wait for their job, or may have a live attempt; `jobless` are those of them without a job of the sweep in
    the queue. `answered`: Slurm showed its queue. `to_ask` is how many trials of a search nobody will ask for as things are: while a worker
    of it lives, that one does, and comes back to what was left.
    """

    after: int
    submissions: tuple[Submission, ...]
    trials: tuple[SweepTrial, ...]
    decisions: dict[str, Decision]
    unserved: tuple[SweepTrial, ...]
    going: tuple[SweepTrial, ...]
    jobless: tuple[SweepTrial, ...]
    answered: bool
    to_ask: int = 0

    @property
    def doubtful(self) -> tuple[SweepTrial, ...]:
        """Those without a job whose attempt may be dead: nothing comes back to them unless they are watched on."""
        return tuple(one for one in self.jobless if self.decisions[one.seal].suspicious)

    def progress(self, sweep_folder: Path) -> list[int]:
        """Return how many trials have ended, and how many steps the others have saved: a round that changes neither brought nothing."""
        unended = {one.trial_id: one for one in (*self.unserved, *self.going)}
        # The highest of all attempts: one that died before it had loaded a checkpoint has lost none.
        saved = [saved_step(one.directory(sweep_folder).path) or 0 for one in unended.values()]
        return [len(self.trials) - len(self.unserved) - len(self.going), sum(saved)]


def reconcile(sweep_folder: Path, observer: Observer) -> Reconciliation:
    """Read a sweep once. Raise UserError where a record is damaged."""
    # The submissions first, then the queue, then the trials: what ends meanwhile is seen to have ended, and what another submits
    # meanwhile makes a record that follows `after` come second.
    after, made = last_number(sweep_folder), all_submissions(sweep_folder)
    queued = covered(made)
    # A maker that is still at it will submit all of its tasks.
    making = {seal for one in made if in_making(one) for task in one.tasks for seal in task}
    trials = trial_set.read(sweep_folder)
    search = sweep_folder.name if is_search(sweep_folder) else None
    found = {one.seal: decide(one.directory(sweep_folder), one.seal_name, observer.liveness, search) for one in trials}
    taken: dict[str, set[str]] = defaultdict(set)
    for seal in making | (queued or set()):
        taken[seal.split("/")[0]].add(seal)
    folder = sweep_folder.parent.parent / "trials"
    # What nobody submits is any worker's: of a search all that is asked for, of a grid what a person has added.
    added = {one.seal for one in trial_set.trials_added(sweep_folder)}
    workers = bool(search or added) and (any(map(in_making, made)) or has_jobs(made))
    served = bool(search) and workers
    anyones = {one.seal for one in trials if workers and (search or one.seal in added)}
    lost = {
        one.seal
        for one in trials
        if found[one.seal].next == "run" and one.seal not in anyones and not _served(one.seal, taken[one.trial_id], folder)
    }
    going = tuple(one for one in trials if one.seal not in lost and found[one.seal].next in ("run", "wait"))
    return Reconciliation(
        after=after,
        submissions=tuple(made),
        trials=tuple(trials),
        decisions=found,
        unserved=tuple(one for one in trials if one.seal in lost),
        going=going,
        jobless=tuple(one for one in going if one.seal not in anyones and not taken[one.trial_id]),
        answered=queued is not None,
        to_ask=_unasked(sweep_folder, found) if search and not served else 0,
    )


def _unasked(sweep_folder: Path, found: Mapping[str, Decision]) -> int:
    """Return how many trials a search has still to ask for, and, where there are none, how many paused ones deserve to go on."""
    left = to_ask(read_settings(sweep_folder), ask_numbers(sweep_folder))
    if left or not any(one.next == "paused" for one in found.values()):
        return left
    from persona_exp.search.pruning import promotable
    from persona_exp.search.rebuilt_study import RebuiltStudy

    study = RebuiltStudy(sweep_folder)
    study.refresh()
    return len(promotable(study))


def reconcile_after_lease(sweep_folder: Path, observer: Observer, leave: Callable[[], bool] = lambda: False) -> Reconciliation:
    """Read a sweep, again and again while it has doubtful trials: for about a lease, which is printed, or until `leave`."""
    seen = reconcile(sweep_folder, observer)
    if not seen.doubtful or not seen.answered:
        return seen
    seconds = _lease(sweep_folder, seen.doubtful, observer) + MARGIN_SECONDS
    trials, verb = counted(len(seen.doubtful), "trial"), "has" if len(seen.doubtful) == 1 else "have"
    doubt = f"{trials} of {sweep_folder.name} {verb} no job in the queue, and an attempt without a last word"
    print(f"{doubt}: watching their heartbeat for up to {seconds:.0f} seconds.", file=sys.stderr, flush=True)
    until = time.monotonic() + seconds
    while seen.doubtful and seen.answered and time.monotonic() < until and not leave():
        sleep_until(min(POLL_SECONDS, observer.lease_seconds), leave)
        seen = reconcile(sweep_folder, observer)
    return seen


def reconcile_until_answered(sweep_folder: Path, observer: Observer, *, lease: bool, leave: Callable[[], bool]) -> Reconciliation:
    """Read a sweep for a person's command, where `lease` is set until no trial is doubtful, and again where Slurm does not answer.

    A sweep of which nothing is left needs no Slurm. Raise UserError where there is none, or it still does not answer.
    """
    from persona_exp.launch.slurm.slurm_queue import require_slurm

    _warn_of_another_slurm(sweep_folder)
    for pause in (*PAUSES, None):
        seen = reconcile_after_lease(sweep_folder, observer, leave) if lease else reconcile(sweep_folder, observer)
        if not (seen.unserved or seen.going or seen.to_ask):
            return seen
        require_slurm()
        if seen.answered:
            return seen
        if pause is not None:
            print("Slurm does not answer (squeue); asking again.", file=sys.stderr, flush=True)
            sleep_until(pause, leave)
    raise UserError("Slurm does not answer (squeue), so what is submitted already is not known: try again in a minute.")


def _warn_of_another_slurm(sweep_folder: Path) -> None:
    """Print a warning where SLURM_CONF, and so maybe the cluster, is another than when the sweep was submitted."""
    before, here = of_sweep(all_submissions(sweep_folder)), os.environ.get("SLURM_CONF")
    then = before[-1].options["launch"].get("slurm_conf", here) if before else here
    if then != here:
        words = f"SLURM_CONF was {then or 'not set'} when {sweep_folder.name} was submitted, and is {here or 'not set'} here"
        print(f"warning: {words}: if that is another cluster, jobs of the sweep are not seen from here.", file=sys.stderr, flush=True)


def _lease(sweep_folder: Path, trials: Sequence[SweepTrial], observer: Observer) -> float:
    """Return how long a heartbeat must stand still: longer for trials that were sealed for a slower one, as the observer has it."""
    records = [read_status(one.directory(sweep_folder).path).record for one in trials]
    return max(observer.lease_seconds, *(3 * float(one.get("heartbeat_seconds") or 0) for one in records))


def sleep_until(seconds: float, leave: Callable[[], bool]) -> None:
    """Sleep so long, but no longer than until `leave`."""
    until = time.monotonic() + seconds
    while not leave() and time.monotonic() < until:
        time.sleep(SLICE_SECONDS)


def _served(seal: str, taken: set[str], trials: Path) -> bool:
    """Return whether one of `taken`, the seals of its trial that a job will run, is this one, or an older one that asks for the same.

    That the code has changed since is no reason to run a trial twice.
    """
    if not taken or seal in taken:
        return bool(taken)
    asked = _asked(trials / seal)
    return asked is not None and any(_asked(trials / other) == asked for other in taken)


def _asked(seal: Path) -> dict[str, str] | None:
    """Return the evaluations that a seal asks for; None where it is damaged, and runs nowhere."""
    try:
        return dict(read_seal_facts(seal)["evaluations"])
    except Damaged:
        return None


def of_sweep(made: Sequence[Submission]) -> list[Submission]:
    """Return those to Slurm that were planned for the sweep, without single tasks that their workers submitted again."""
    return [one for one in made if one.launcher == "slurm" and one.by["who"] != "worker"]
