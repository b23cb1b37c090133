"""The canary: a sweep's first trial, which must pass its first steps before the rest are let go."""

from collections.abc import Callable, Sequence

from persona_exp.errors import UserError
from persona_exp.launch.recovery import sweep_hold
from persona_exp.launch.recovery.retry_decision import failed_for_good
from persona_exp.launch.sweeps.never_began import hold, last_job
from persona_exp.launch.sweeps.submission_record import Submission, all_submissions, covered, recorded_jobs
from persona_exp.trial.attempt_records import attempt_files, read_record
from persona_exp.trial.trial_directory import TrialDirectory, trial_directory

STEPS = 3


def passed(directory: TrialDirectory, steps: int = STEPS) -> bool | None:
    """Return whether the trial has done `steps` optimizer steps (or all that it has); False when it failed, None while that is open."""
    records = [read_record(path) for path in attempt_files(directory.path)]
    if any(_passed(record, steps) for record in records):
        return True
    return False if records and failed_for_good(directory, records[-1]) else None


class Canary:
    """What the canary's worker does: let the jobs behind it go once one of its trials passed, or hold the sweep when one fails first."""

    def __init__(self, submission: Submission, say: Callable[[str], None]) -> None:
        self._submission, self._say = submission, say
        self._passed = False
        self._released: set[str] = set()
        self.over = False
        self.jammed = False

    def check(self, directories: Sequence[TrialDirectory]) -> None:
        """Let the others go if one of these trials has passed; as often as it takes for the launcher to have submitted them."""
        if self.over:
            return
        if not self._passed:
            self._passed = any(passed(directory) for directory in directories)
            if self._passed:
                self._say("The first steps are done: the other trials may start.")
        if self._passed:
            self._release()

    def fail(self, trial_id: str, cause: str, message: str) -> None:
        """Hold the sweep, for one of its trials failed before any had passed: nothing else starts."""
        if self._passed or self.over:
            return
        self.over = True
        sweep_folder = self._submission.sweep_folder
        of_site = cause in sweep_hold.OF_SITE
        why = f"the first trial failed ({cause}): {message}"
        sweep_hold.create(sweep_folder, cause=cause if of_site else "canary", message=why, trials=[trial_id])
        call_off(self._submission, self._say)

    def _release(self) -> None:
        from persona_exp.launch.slurm.slurm_command import cluster_of
        from persona_exp.launch.slurm.submit_and_cancel import end_dependency

        noted = recorded_jobs(self._submission)
        for array in noted["arrays"]:
            # One that waits since no more tasks may run at once, waits on.
            if array["id"] in self._released or array.get("after"):
                continue
            try:
                end_dependency(array["id"], cluster=cluster_of(self._submission.job_name))
            except UserError as error:
                # They start when this job has ended, then: it must not take their trials meanwhile.
                self._say(f"{error}")
                self.jammed = True
            self._released.add(array["id"])
        self.over = bool(noted["complete"])


def hold_if_it_never_began(submission: Submission, say: Callable[[str], None]) -> None:
    """Hold the sweep where the canary's job ended before any of its trials began; for the worker of a job behind it.

    Such a job has recorded nothing, and Slurm lets the others go whatever it ended with. Where Slurm does not answer, nothing is held.
    """
    id, seals = recorded_jobs(submission)["canary"], submission.tasks[0]
    directories = [trial_directory(submission.runs, seal.split("/")[0]) for seal in seals]
    if not id or any(attempt_files(one.path) or one.cancelled.exists() for one in directories):
        return
    # Its worker may have submitted its trials again.
    later = [one for one in all_submissions(submission.sweep_folder) if one.by["who"] == "worker"]
    coming = covered([submission, *later])
    if coming is None or coming & set(seals) or any(attempt_files(one.path) for one in directories):
        return
    if hold(submission.sweep_folder, last_job(submission, str(id)), [one.trial_id for one in directories]):
        call_off(submission, say)


def call_off(submission: Submission, say: Callable[[str], None]) -> None:
    """Take the jobs of a held sweep that have not started out of the queue."""
    from persona_exp.launch.slurm.slurm_command import cluster_of
    from persona_exp.launch.slurm.submit_and_cancel import cancel

    if submission.launcher != "slurm":
        return
    try:
        ids = [array["id"] for array in recorded_jobs(submission)["arrays"]]
        cancel(ids, pending_only=True, cluster=cluster_of(submission.job_name))
    except UserError as error:
        # They will start, see the hold, and leave.
        say(f"{error}")


def _passed(record: dict[str, object], steps: int) -> bool:
    if record["status"] in ("finished", "pruned"):
        return True
    progress = record.get("progress")
    if not isinstance(progress, dict):
        return False
    step, of = progress.get("step") or 0, progress.get("of")
    # Evaluation comes after training, which a trial that goes on with a published adapter has behind it.
    return progress.get("phase") == "evaluating" or step >= min(steps, of or steps)
