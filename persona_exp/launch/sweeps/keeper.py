"""The keeper: looks what of a sweep was lost, submits that again, and writes the report when all has ended.

It is the sweep's last, dependent job; a launcher that watches does the same while it watches. Whoever looks first makes the next
submission's record, and everybody else finds it made.
"""

import argparse
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from persona_exp.errors import UserError
from persona_exp.launch.judgement import hold
from persona_exp.launch.judgement.observer import LEASE_SECONDS, Observer
from persona_exp.launch.planning import ledger
from persona_exp.launch.planning.bundles import plan
from persona_exp.launch.slurm.requeue import requeue_this_job
from persona_exp.launch.sweeps.arrays import keeper_minutes, send, submit_keeper
from persona_exp.launch.sweeps.conclusion import conclude
from persona_exp.launch.sweeps.submission import Submission, create, draft, jobs, submissions
from persona_exp.launch.sweeps.survey import Survey, of_sweep, rest, survey
from persona_exp.process import RESUMABLE
from persona_exp.training.interruption import Interruption
from persona_exp.trial.attempt import job as this_job

What = Literal["ended", "held", "going", "unknown", "submitted", "given up"]
T = TypeVar("T")
POLL_SECONDS = 5.0
# A keeper that must stay looks more and more seldom.
SELDOM_SECONDS = 60.0
# So long it stays where no successor is taken, then it gives its place in the queue to itself; at most this part of its time limit.
STAY_SECONDS, STAY_PART = 35 * 60.0, 0.6
# A file server that is away at the keeper's start, or at its end, is given so much time.
PAUSES = (1.0, 5.0, 25.0)
# What Slurm says of a job that it put back and holds, for its node could not begin it.
LAUNCH_FAILED = re.compile("launch.failed.requeued.held", re.IGNORECASE)
# A trial that somebody runs outside Slurm is looked at again after so long.
LATER_SECONDS = 600


@dataclass(frozen=True)
class Tended:
    """`what` was found or done, and `why`. `jobless` of the `going` have no job in the queue, of which `doubtful` may be dead; `no_room`
    are those that the site had no room for yet.
    """

    what: What
    why: str = ""
    going: int = 0
    submission: Submission | None = None
    jobless: int = 0
    doubtful: int = 0
    no_room: int = 0

    @property
    def ended(self) -> bool:
        """Whether nothing will happen to the sweep any more unless somebody does something."""
        return self.what in ("ended", "given up") or (self.what == "held" and not self.going)


def tend(sweep_folder: Path, observer: Observer) -> Tended:
    """Look once, and submit what was lost: what ought to run, has no job in the queue and no live attempt.

    Raises Refused with sbatch's reason when it is not taken.
    """
    seen = survey(sweep_folder, observer)
    going = len(seen.going)
    if not seen.left and not going:
        return Tended("ended")
    if not seen.answered:
        return Tended("unknown", "Slurm does not answer", going)
    held = hold.read(sweep_folder)
    if held:
        return Tended("held", str(held["message"]), going)
    if going:
        _release_failed_launches(seen.submissions)
    if going and {one.seal for one in seen.left} <= _without_room(seen.submissions):
        # Nothing was lost: what was left out comes when the user's other jobs, the sweep's own among them, have made room.
        return Tended("going", going=going, jobless=len(seen.jobless), doubtful=len(seen.doubtful), no_room=len(seen.left))
    return _submit(sweep_folder, seen)


def _release_failed_launches(made: Sequence[Submission]) -> None:
    """Let those jobs start again that Slurm holds because their launch failed: they would wait for ever, and the keeper behind them."""
    from persona_exp.launch.slurm.queue import queued
    from persona_exp.launch.slurm.submit import release

    for job in queued([one.job_name for one in made if one.launcher == "slurm"]) or []:
        if job.state == "PENDING" and LAUNCH_FAILED.fullmatch(job.reason):
            print(f"Slurm could not launch job {job.label} and holds it; released.", flush=True)
            try:
                release(job.label)
            except UserError as error:
                print(f"{error}", flush=True)


def _without_room(made: Sequence[Submission]) -> set[str]:
    """Seals of tasks that were planned and never sent, for the site took no more jobs then; the newest submission of a seal counts."""
    left_out: dict[str, bool] = {}
    for one in made:
        sent = jobs(one)
        # What was refused for another reason is lost.
        no_room = one.launcher == "slurm" and sent["complete"] and sent.get("refused") in (None, "full")
        tasks = {0} if sent["canary"] else set()
        tasks |= {task for array in sent["arrays"] for task in range(array["first"], array["first"] + array["size"])}
        left_out |= {seal: no_room and task not in tasks for task, seals in enumerate(one.tasks) for seal in seals}
    return {seal for seal, out in left_out.items() if out}


def _submit(sweep_folder: Path, seen: Survey) -> Tended:
    before, going, progress = of_sweep(seen.submissions), len(seen.going), seen.progress(sweep_folder)
    if not before:
        raise UserError(f"{sweep_folder} was never submitted to Slurm; run its command with hydra/launcher=slurm.")
    options = before[-1].options
    rounds = options["launch"]["max_rounds"]
    if _rounds_without_progress(before, progress) >= rounds:
        return Tended("given up", f"{rounds} rounds of resubmission in a row brought nothing")
    terms = ledger.terms_of(options["launch"])
    tasks = plan(ledger.read(sweep_folder, [one.seal for one in seen.left]), terms)
    submission = draft(
        sweep_folder,
        launcher="slurm",
        tasks=[task.seals for task in tasks],
        options={**options, "launch": {**options["launch"], **ledger.options(terms, tasks)}},
        canary=False,
        after=seen.after,
        who="keeper",
        progress=progress,
    )
    if not create(submission):
        return Tended("going", "another has just submitted what was lost", going)
    send(submission)
    return Tended("submitted", f"{len(seen.left)} trials had lost their job", going, submission)


def _rounds_without_progress(before: Sequence[Submission], progress: list[int]) -> int:
    rounds = 0
    for one in reversed(before):
        if one.by["who"] != "keeper" or one.by["progress"] != progress:
            break
        sent = jobs(one)
        # That Slurm was busy, or the queue full, says nothing about the trials.
        rounds += sent["arrays"] != [] or sent.get("refused") not in ("busy", "full")
    return rounds


def keep(
    sweep_folder: Path,
    *,
    poll_seconds: float = POLL_SECONDS,
    stay_seconds: float | None = None,
    interruption: Interruption | None = None,
) -> int:
    """The keeper's job from start to end: 0 when every trial is finished or another keeper comes after, 1 when cells are missing.

    Where Slurm is busy, or has no room for its successor, it stays and looks again; after `stay_seconds` (None: a part of its time
    limit) it puts itself back into the queue, and by hand, outside a job, leaves with 2. Told to leave before, it does so at once: with
    75 where it cannot put itself back.
    """
    asked = interruption or Interruption()
    newest = _patiently(lambda: _newest(sweep_folder))
    stay = stay_seconds if stay_seconds is not None else min(STAY_SECONDS, STAY_PART * 60 * keeper_minutes(newest))
    observer, started, said = Observer(lease(newest)), time.monotonic(), ""
    while True:
        kept = _look(sweep_folder, observer, time.monotonic() - started)
        # The script's path in front of a refusal differs from one try to the next.
        if kept.code is not None or kept.told.partition(": ")[2] != said:
            said = kept.told.partition(": ")[2]
            print(kept.told, flush=True)
        if kept.code is not None:
            return _patiently(lambda: conclude(sweep_folder)) if kept.what == "ended" else kept.code
        if time.monotonic() - started > stay or asked.requested:
            if requeue_this_job():
                print("The keeper has put itself back into the queue.", flush=True)
                return 0
            if asked.requested:
                print(
                    f"The keeper was told to leave ({asked.requested}) and cannot put itself back; the sweep's command goes on.", flush=True
                )
                return RESUMABLE
            if this_job() is None:
                print("Left; the sweep's command goes on.", flush=True)
                return 2
        pause = min(max(poll_seconds, SELDOM_SECONDS), poll_seconds + (time.monotonic() - started) / 20)
        rest(pause, lambda: asked.requested is not None)


def _newest(sweep_folder: Path) -> Submission:
    before = of_sweep(submissions(sweep_folder))
    if not before:
        raise UserError(f"{sweep_folder} was never submitted to Slurm: there is nothing to keep.")
    return before[-1]


def _patiently(work: Callable[[], T]) -> T:
    """What `work` returns, tried again where files could not be used: nobody comes after a keeper that dies."""
    for pause in PAUSES:
        try:
            return work()
        except OSError as error:
            print(f"A file cannot be used: {error}. The keeper tries again.", flush=True)
            time.sleep(pause)
    return work()


@dataclass(frozen=True)
class _Look:
    """What one look came to: the exit code where the keeper is to leave, and what to say. `ended` asks for the report first."""

    told: str
    code: int | None = None
    what: str = ""


def _look(sweep_folder: Path, observer: Observer, seconds: float) -> _Look:
    from persona_exp.launch.slurm.submit import Refused

    try:
        tended = tend(sweep_folder, observer)
        told = f"{sweep_folder.name}: {tended.what}{': ' + tended.why if tended.why else ''}"
        if tended.ended:
            return _Look(told, 0, "ended")
        if tended.submission and jobs(tended.submission)["keeper"]:
            return _Look(told, 0)
        if _another_keeper(sweep_folder):
            return _Look(f"{told}\nAnother keeper comes after this one.", 0)
        newest, live = of_sweep(submissions(sweep_folder))[-1], _live_jobs(sweep_folder)
        if live:
            submit_keeper(newest, live)
            return _Look(f"{told}\nThe keeper comes back when {', '.join(live)} have ended.", 0)
        if seconds > 3 * lease(newest) + 60:
            submit_keeper(newest, [], begin_seconds=LATER_SECONDS)
            later = f"{tended.going} trials run outside this sweep's jobs; the keeper comes back in {LATER_SECONDS // 60} minutes."
            return _Look(f"{told}\n{later}", 0)
    except Refused as refused:
        return _Look(f"{refused} The keeper stays and asks again.")
    except OSError as error:
        # A file server that was away, or a file replaced while it was read.
        return _Look(f"A file of {sweep_folder.name} cannot be used: {error}. The keeper stays and asks again.")
    return _Look(told)


def lease(submission: Submission) -> float:
    """So many seconds a heartbeat of its trials must stand still before they are taken for dead."""
    return float(submission.options.get("launch", {}).get("lease_seconds", LEASE_SECONDS))


def _another_keeper(sweep_folder: Path) -> bool:
    """Whether the keeper of a later submission, or a later one of the same, is in the queue: it goes on from here.

    Of two that run, only the earlier may leave.
    """
    from persona_exp.launch.slurm.queue import queued

    numbers = {one.keeper_name: one.number for one in submissions(sweep_folder) if one.launcher == "slurm"}
    own = this_job() or {"id": "0", "name": ""}
    place = (numbers.get(own["name"], 0), int(own["id"]))
    return any((numbers[job.name], int(job.id)) > place for job in queued(list(numbers)) or [] if job.state != "COMPLETING")


def _live_jobs(sweep_folder: Path) -> list[str]:
    """The ids of the sweep's worker jobs in the queue, arrays once each."""
    from persona_exp.launch.slurm.queue import queued

    names = [one.job_name for one in submissions(sweep_folder) if one.launcher == "slurm"]
    # One that is completing has said its last word: there is nothing to wait for.
    return sorted({job.array_id or job.id for job in queued(names) or [] if job.state != "COMPLETING"})


def main(arguments: Sequence[str] | None = None) -> int:
    """The command of the keeper's job; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m persona_exp.launch.sweeps.keeper", description=__doc__)
    parser.add_argument("sweep", type=Path, help="the sweep's folder: runs/sweeps/NAME")
    parsed: Any = parser.parse_args(arguments)
    try:
        return keep(parsed.sweep.absolute(), interruption=Interruption().listen())
    except UserError as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
