"""One round of the keeper: find what of a sweep was lost, and submit that again."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from persona_exp.counted_noun import counted
from persona_exp.errors import UserError
from persona_exp.launch.planning import plan_file
from persona_exp.launch.planning.bundle_plan import plan
from persona_exp.launch.recovery import sweep_hold
from persona_exp.launch.recovery.heartbeat_lease import Observer
from persona_exp.launch.sweeps.canary_trial import call_off
from persona_exp.launch.sweeps.job_arrays import submit_jobs
from persona_exp.launch.sweeps.never_began import hold_if_never_began
from persona_exp.launch.sweeps.reconcile import Reconciliation, of_sweep, reconcile
from persona_exp.launch.sweeps.search_tasks import search_tasks
from persona_exp.launch.sweeps.submission_record import Submission, create, draft, recorded_jobs
from persona_exp.search.study_settings import is_search

What = Literal["ended", "held", "going", "unknown", "submitted", "given up"]


# What Slurm says of a job that it put back and holds, for its node could not begin it.
LAUNCH_FAILED = re.compile("launch.failed.requeued.held", re.IGNORECASE)


@dataclass(frozen=True)
class KeeperRound:
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
        """Whether nothing more will happen to the sweep unless a person does something."""
        return self.what in ("ended", "given up") or (self.what == "held" and not self.going)


def resubmit_lost(sweep_folder: Path, observer: Observer) -> KeeperRound:
    """Read the sweep once, submit what was lost, and return what was found or done.

    Lost is what ought to run and has no job in the queue and no live attempt.

    Raise Refused with sbatch's reason when it is not taken.
    """
    seen = reconcile(sweep_folder, observer)
    going = len(seen.going)
    if not seen.unserved and not going and not seen.to_ask:
        return KeeperRound("ended")
    if not seen.answered:
        return KeeperRound("unknown", "Slurm does not answer", going)
    held = sweep_hold.read(sweep_folder)
    if held:
        return KeeperRound("held", str(held["message"]), going)
    dead = hold_if_never_began(sweep_folder, of_sweep(seen.submissions))
    if dead:
        call_off(of_sweep(seen.submissions)[-1], print)
        return KeeperRound("held", dead.sentence, going)
    if going:
        _release_failed_launches(seen.submissions)
    if going and {one.seal for one in seen.unserved} <= _without_room(seen.submissions):
        # Nothing was lost: what was left out comes when the user's other jobs, the sweep's own among them, have made room.
        return KeeperRound("going", going=going, jobless=len(seen.jobless), doubtful=len(seen.doubtful), no_room=len(seen.unserved))
    return _submit(sweep_folder, seen)


def _release_failed_launches(made: Sequence[Submission]) -> None:
    """Let those jobs start again that Slurm holds because their launch failed: they would wait for ever, and the keeper behind them."""
    from persona_exp.launch.slurm.slurm_command import cluster_of
    from persona_exp.launch.slurm.slurm_queue import queued
    from persona_exp.launch.slurm.submit_and_cancel import release

    for job in queued([one.job_name for one in made if one.launcher == "slurm"]) or []:
        if job.state == "PENDING" and LAUNCH_FAILED.fullmatch(job.reason):
            print(f"Slurm could not launch job {job.label} and holds it; released.", flush=True)
            try:
                release(job.label, cluster=cluster_of(job.name))
            except UserError as error:
                print(f"{error}", flush=True)


def _without_room(made: Sequence[Submission]) -> set[str]:
    """Return the seals of tasks that were never sent, for the site took no more jobs then; the newest submission of a seal counts."""
    left_out: dict[str, bool] = {}
    for one in made:
        sent = recorded_jobs(one)
        # What was refused for another reason is lost.
        no_room = one.launcher == "slurm" and sent["complete"] and sent.get("refused") in (None, "full")
        tasks = {0} if sent["canary"] else set()
        tasks |= {task for array in sent["arrays"] for task in range(array["first"], array["first"] + array["size"])}
        left_out |= {seal: no_room and task not in tasks for task, seals in enumerate(one.tasks) for seal in seals}
    return {seal for seal, out in left_out.items() if out}


def _submit(sweep_folder: Path, seen: Reconciliation) -> KeeperRound:
    before, going, progress = of_sweep(seen.submissions), len(seen.going), seen.progress(sweep_folder)
    if not before:
        raise UserError(f"{sweep_folder} was never submitted to Slurm; run its command with hydra/launcher=slurm.")
    options = before[-1].options
    rounds = options["launch"]["max_rounds"]
    if _rounds_without_progress(before, progress) >= rounds:
        return KeeperRound("given up", f"{counted(rounds, 'round')} of resubmission in a row brought nothing")
    lost = [one.seal for one in seen.unserved]
    if is_search(sweep_folder):
        tasks, planned = search_tasks(sweep_folder, lost, options["launch"]["workers"]), {}
    else:
        terms = plan_file.terms_of(options["launch"])
        plans = plan(plan_file.read(sweep_folder, lost), terms)
        tasks, planned = [task.seals for task in plans], plan_file.options(terms, plans)
    submission = draft(
        sweep_folder,
        launcher="slurm",
        tasks=tasks,
        options={**options, "launch": {**options["launch"], **planned}},
        canary=False,
        after=seen.after,
        who="keeper",
        progress=progress,
    )
    if not create(submission):
        return KeeperRound("going", "another has just submitted what was lost", going)
    submit_jobs(submission)
    asking = f", {seen.to_ask} are still to be asked for" if seen.to_ask else ""
    return KeeperRound("submitted", f"{counted(len(seen.unserved), 'trial')} had lost their job{asking}", going, submission)


def _rounds_without_progress(before: Sequence[Submission], progress: list[int]) -> int:
    rounds = 0
    for one in reversed(before):
        if one.by["who"] != "keeper" or one.by["progress"] != progress:
            break
        sent = recorded_jobs(one)
        # That Slurm was busy, or the queue full, says nothing about the trials.
        rounds += sent["arrays"] != [] or sent.get("refused") not in ("busy", "full")
    return rounds
