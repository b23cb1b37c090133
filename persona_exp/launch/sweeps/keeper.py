"""The keeper: submits again what of a sweep was lost, and writes the report when all has ended.

It is the sweep's last, dependent job; a launcher that watches does the same while it watches. The first of them makes the next
submission's record, and all others find it made.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from persona_exp.counted_noun import counted
from persona_exp.errors import UserError
from persona_exp.full_disk import is_full, when_there_is_room
from persona_exp.launch.recovery.heartbeat_lease import Observer
from persona_exp.launch.slurm.requeue import requeue_this_job
from persona_exp.launch.sweeps.finish_sweep import finish_sweep
from persona_exp.launch.sweeps.keeper_job import keeper_minutes, submit_keeper
from persona_exp.launch.sweeps.reconcile import of_sweep, sleep_until
from persona_exp.launch.sweeps.resubmit_lost import resubmit_lost
from persona_exp.launch.sweeps.submission_record import Submission, all_submissions, recorded_jobs
from persona_exp.lossy_output import outlive_full_disk
from persona_exp.process_identity import this_job
from persona_exp.process_signals import RESUMABLE
from persona_exp.training.stop_signals import Interruption

T = TypeVar("T")
POLL_SECONDS = 5.0
# A keeper that must stay checks more and more seldom.
SELDOM_SECONDS = 60.0
# So long it stays where no successor is taken, then it gives its place in the queue to itself; at most this part of its time limit.
STAY_SECONDS, STAY_PART = 35 * 60.0, 0.6
# A file server that is away at the keeper's start, or at its end, is given so much time.
PAUSES = (1.0, 5.0, 25.0)
# A trial that runs outside Slurm is checked again after so long.
LATER_SECONDS = 600


def keep(
    sweep_folder: Path,
    *,
    poll_seconds: float = POLL_SECONDS,
    stay_seconds: float | None = None,
    interruption: Interruption | None = None,
) -> int:
    """Do the keeper's job from start to end; return 0 when every trial is finished or another keeper comes after, 1 when cells are missing.

    Where Slurm is busy, or has no room for its successor, it stays and checks again; after `stay_seconds` (None: a part of its time
    limit) it puts itself back into the queue, and by hand, outside a job, leaves with 2. Asked to leave before, it does so at once: with
    75 where it cannot put itself back.
    """
    interruption = interruption or Interruption()
    newest = _patiently(lambda: _newest(sweep_folder))
    stay = stay_seconds if stay_seconds is not None else min(STAY_SECONDS, STAY_PART * 60 * keeper_minutes(newest))
    observer, started, printed = Observer(newest.lease_seconds), time.monotonic(), ""
    while True:
        following = _one_round(sweep_folder, observer, time.monotonic() - started)
        # The script's path in front of a refusal differs from one try to the next.
        if following.code is not None or following.message.partition(": ")[2] != printed:
            printed = following.message.partition(": ")[2]
            print(following.message, flush=True)
        if following.code is not None and following.what != "ended":
            return following.code
        if following.what == "ended":
            try:
                return when_there_is_room(
                    lambda: _patiently(lambda: finish_sweep(sweep_folder)), lambda: interruption.requested is not None, _say
                )
            except OSError as error:
                if not is_full(error):
                    raise
        if time.monotonic() - started > stay or interruption.requested:
            if requeue_this_job():
                print("The keeper has put itself back into the queue.", flush=True)
                return 0
            if interruption.requested:
                print(
                    f"The keeper was stopped ({interruption.requested}) and cannot put itself back; the sweep's command goes on.",
                    flush=True,
                )
                return RESUMABLE
            if this_job() is None:
                print("Left; the sweep's command goes on.", flush=True)
                return 2
        pause = min(max(poll_seconds, SELDOM_SECONDS), poll_seconds + (time.monotonic() - started) / 20)
        sleep_until(pause, lambda: interruption.requested is not None)


def _newest(sweep_folder: Path) -> Submission:
    before = of_sweep(all_submissions(sweep_folder))
    if not before:
        raise UserError(f"{sweep_folder} was never submitted to Slurm: there is nothing to keep.")
    return before[-1]


def _patiently(work: Callable[[], T]) -> T:
    """Return what `work` returns, trying again where files could not be used: nothing comes after a keeper that dies."""
    for pause in PAUSES:
        try:
            return work()
        except OSError as error:
            if is_full(error):
                raise
            print(f"A file cannot be used: {error}. The keeper tries again.", flush=True)
            time.sleep(pause)
    return work()


def _say(line: str) -> None:
    print(line, flush=True)


@dataclass(frozen=True)
class _Next:
    """What follows from one round: the exit code where the keeper is to leave, and a message. `ended` asks for the report first."""

    message: str
    code: int | None = None
    what: str = ""


def _one_round(sweep_folder: Path, observer: Observer, seconds: float) -> _Next:
    from persona_exp.launch.slurm.submit_and_cancel import Refused

    try:
        found = resubmit_lost(sweep_folder, observer)
        message = f"{sweep_folder.name}: {found.what}{': ' + found.why if found.why else ''}"
        if found.ended:
            return _Next(message, 0, "ended")
        if found.submission and recorded_jobs(found.submission)["keeper"]:
            return _Next(message, 0)
        if _another_keeper(sweep_folder):
            return _Next(f"{message}\nAnother keeper comes after this one.", 0)
        newest, live = of_sweep(all_submissions(sweep_folder))[-1], _live_jobs(sweep_folder)
        if live:
            submit_keeper(newest, live)
            return _Next(f"{message}\nThe keeper comes back when {', '.join(live)} have ended.", 0)
        if seconds > 3 * newest.lease_seconds + 60:
            submit_keeper(newest, [], begin_seconds=LATER_SECONDS)
            trials = counted(found.going, "trial", "runs", "run")
            later = f"{trials} outside this sweep's jobs; the keeper comes back in {LATER_SECONDS // 60} minutes."
            return _Next(f"{message}\n{later}", 0)
    except Refused as refused:
        return _Next(f"{refused} The keeper stays and asks again.")
    except OSError as error:
        # A file server that was away, or a file replaced while it was read.
        return _Next(f"A file of {sweep_folder.name} cannot be used: {error}. The keeper stays and asks again.")
    return _Next(message)


def _another_keeper(sweep_folder: Path) -> bool:
    """Return whether the keeper of a later submission, or a later one of the same, is in the queue: it goes on from here.

    Of two that run, only the earlier may leave.
    """
    from persona_exp.launch.slurm.slurm_queue import queued

    numbers = {one.keeper_name: one.number for one in all_submissions(sweep_folder) if one.launcher == "slurm"}
    own = this_job() or {"id": "0", "name": ""}
    place = (numbers.get(own["name"], 0), int(own["id"]))
    return any((numbers[job.name], int(job.id)) > place for job in queued(list(numbers)) or [] if job.state != "COMPLETING")


def _live_jobs(sweep_folder: Path) -> list[str]:
    """Return the ids of the sweep's worker jobs in the queue, arrays once each."""
    from persona_exp.launch.slurm.slurm_queue import queued

    names = [one.job_name for one in all_submissions(sweep_folder) if one.launcher == "slurm"]
    # One that is completing has recorded its end: there is nothing to wait for.
    return sorted({job.array_id or job.id for job in queued(names) or [] if job.state != "COMPLETING"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command of the keeper's job and return its exit code."""
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
    outlive_full_disk()
    sys.exit(main())
