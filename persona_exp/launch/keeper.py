"""The keeper: looks what of a sweep was lost, submits that again, and writes the report when all has ended.

It is the sweep's last, dependent job; a launcher that watches does the same while it watches. Whoever looks first makes the next
submission's record, and everybody else finds it made.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from persona_exp.errors import UserError
from persona_exp.launch import hold
from persona_exp.launch.arrays import send, submit_keeper
from persona_exp.launch.conclusion import conclude
from persona_exp.launch.observer import LEASE_SECONDS, Observer
from persona_exp.launch.plan import plan
from persona_exp.launch.submission import Submission, create, jobs, submissions
from persona_exp.launch.survey import Survey, of_sweep, survey

What = Literal["ended", "held", "going", "unknown", "submitted", "given up"]
POLL_SECONDS = 5.0
# A trial that somebody runs outside Slurm is looked at again after so long.
LATER_SECONDS = 600


@dataclass(frozen=True)
class Tended:
    """`what` was found or done, and `why`."""

    what: What
    why: str = ""
    going: int = 0
    submission: Submission | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing will happen to the sweep any more unless somebody does something."""
        return self.what in ("ended", "given up") or (self.what == "held" and not self.going)


def tend(sweep_folder: Path, observer: Observer) -> Tended:
    """Look once, and submit what was lost: what ought to run, has no job in the queue and no live attempt.

    Raises UserError with sbatch's reason when that is refused.
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
    if going and {one.seal for one in seen.left} <= _without_room(seen.submissions):
        # Nothing was lost: what was left out comes when the user's other jobs, the sweep's own among them, have made room.
        return Tended("going", going=going)
    return _submit(sweep_folder, seen) if seen.left else Tended("going", going=going)


def _without_room(made: Sequence[Submission]) -> set[str]:
    """Seals of tasks that were planned and never sent, for the site took no more jobs then."""
    left_out: set[str] = set()
    for one in made:
        sent = jobs(one)
        if one.launcher == "slurm" and sent["complete"]:
            tasks = {0} if sent["canary"] else set()
            tasks |= {task for array in sent["arrays"] for task in range(array["first"], array["first"] + array["size"])}
            left_out |= {seal for task, seals in enumerate(one.tasks) if task not in tasks for seal in seals}
    return left_out


def _submit(sweep_folder: Path, seen: Survey) -> Tended:
    before, going, progress = of_sweep(seen.submissions), len(seen.going), seen.progress(sweep_folder)
    if not before:
        raise UserError(f"{sweep_folder} was never submitted to Slurm; run its command with hydra/launcher=slurm.")
    options = before[-1].options
    rounds = options["launch"]["max_rounds"]
    if _rounds_without_progress(before, progress) >= rounds:
        return Tended("given up", f"{rounds} rounds of resubmission in a row brought nothing")
    tasks = plan([one.seal for one in seen.left], engine=seen.left[0].engine, trials_per_task=options["launch"]["trials_per_task"])
    submission = create(
        sweep_folder, launcher="slurm", tasks=tasks, options=options, canary=False, after=seen.after, who="keeper", progress=progress
    )
    if submission is None:
        return Tended("going", "another has just submitted what was lost", going)
    send(submission)
    return Tended("submitted", f"{len(seen.left)} trials had lost their job", going, submission)


def _rounds_without_progress(before: Sequence[Submission], progress: list[int]) -> int:
    rounds = 0
    for one in reversed(before):
        if one.by["who"] != "keeper" or one.by["progress"] != progress:
            break
        rounds += 1
    return rounds


def keep(sweep_folder: Path, *, poll_seconds: float = POLL_SECONDS) -> int:
    """The keeper's job from start to end: 0 when every trial is finished or another keeper comes after, 1 when cells are missing."""
    before = of_sweep(submissions(sweep_folder))
    if not before:
        raise UserError(f"{sweep_folder} was never submitted to Slurm: there is nothing to keep.")
    submission = before[-1]
    lease = float(submission.options["launch"].get("lease_seconds", LEASE_SECONDS))
    observer, started = Observer(lease), time.monotonic()
    while True:
        tended = tend(sweep_folder, observer)
        print(f"{sweep_folder.name}: {tended.what}{': ' + tended.why if tended.why else ''}", flush=True)
        if tended.what == "submitted":
            return 0
        if tended.ended:
            return conclude(sweep_folder)
        if _another_keeper(sweep_folder, submission):
            print("Another keeper comes after this one.", flush=True)
            return 0
        live = _live_jobs(sweep_folder)
        if live:
            submit_keeper(submission, live)
            print(f"The keeper comes back when {', '.join(live)} have ended.", flush=True)
            return 0
        if time.monotonic() - started > 3 * lease + 60:
            submit_keeper(submission, [], begin_seconds=LATER_SECONDS)
            print(f"{tended.going} trials run outside this sweep's jobs; the keeper comes back in {LATER_SECONDS // 60} minutes.")
            return 0
        time.sleep(poll_seconds)


def _another_keeper(sweep_folder: Path, own: Submission) -> bool:
    """Whether the keeper of a later submission is in the queue: it goes on from here."""
    from persona_exp.launch.slurm.queue import queued

    later = [one.keeper_name for one in submissions(sweep_folder) if one.number > own.number and one.launcher == "slurm"]
    return bool(later) and bool(queued(later))


def _live_jobs(sweep_folder: Path) -> list[str]:
    """The ids of the sweep's worker jobs in the queue, arrays once each."""
    from persona_exp.launch.slurm.queue import queued

    names = [one.job_name for one in submissions(sweep_folder) if one.launcher == "slurm"]
    # One that is completing has said its last word: there is nothing to wait for.
    return sorted({job.array_id or job.id for job in queued(names) or [] if job.state != "COMPLETING"})


def main(arguments: Sequence[str] | None = None) -> int:
    """The command of the keeper's job; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m persona_exp.launch.keeper", description=__doc__)
    parser.add_argument("sweep", type=Path, help="the sweep's folder: runs/sweeps/NAME")
    parsed: Any = parser.parse_args(arguments)
    try:
        return keep(parsed.sweep.absolute())
    except UserError as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
