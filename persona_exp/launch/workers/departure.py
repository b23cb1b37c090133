"""Leaving: a worker's job put back into the queue."""

from collections.abc import Sequence

from persona_exp import files
from persona_exp.errors import UserError
from persona_exp.launch.judgement.failed_nodes import shunned
from persona_exp.launch.slurm.requeue import cancelled_by_user, requeue_this_job
from persona_exp.launch.sweeps.arrays import submit_again
from persona_exp.launch.sweeps.submission import Submission
from persona_exp.trial.attempt import job as this_job
from persona_exp.trial.attempt import node


def come_back_later(submission: Submission, open_seals: Sequence[str]) -> str | None:
    """Put this worker's job back into the queue; how, None where the keeper must see to it.

    Where it cannot be requeued, the seals that it leaves open are submitted anew: what it ran need not be what was planned for it. A job
    that a person cancelled does not come back.
    """
    job = this_job()
    if submission.launcher != "slurm" or job is None or job["name"] != submission.job_name or cancelled_by_user():
        return None
    if requeue_this_job():
        return "requeued"
    if not open_seals:
        return None
    try:
        new = submit_again(submission, open_seals)
    except UserError as error:
        return f"not submitted again ({error}); the sweep's keeper will"
    return f"submitted again as job {new}" if new else None


def go_elsewhere(submission: Submission) -> bool:
    """Where this node failed twice under the sweep: put the job back into the queue for another. False where it may as well run here."""
    job = this_job()
    if submission.launcher != "slurm" or job is None or job["name"] != submission.job_name:
        return False
    away = shunned(submission.sweep_folder, submission.options["sbatch"])
    if node() not in away:
        return False
    # Slurm may start it here once more where it could not be told of these nodes: then it runs here, or it would come and go for ever.
    first = files.create_text(submission.folder / "put-back" / f"{job['id']}-{node()}", "")
    return first and requeue_this_job(exclude=away)
