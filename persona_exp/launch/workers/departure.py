"""Leaving: a worker's job put back into the queue."""

from persona_exp.errors import UserError
from persona_exp.launch.judgement.failed_nodes import failed_twice
from persona_exp.launch.slurm.requeue import cancelled_by_user, requeue_this_job
from persona_exp.launch.sweeps.arrays import submit_again
from persona_exp.launch.sweeps.submission import Submission
from persona_exp.trial.attempt import job as this_job
from persona_exp.trial.attempt import node


def come_back_later(submission: Submission, task: int) -> str | None:
    """Put this worker's job back into the queue, anew where it cannot be requeued; how, None where the keeper must see to it.

    A job that a person cancelled does not come back.
    """
    job = this_job()
    if submission.launcher != "slurm" or job is None or job["name"] != submission.job_name or cancelled_by_user():
        return None
    if requeue_this_job():
        return "requeued"
    try:
        new = submit_again(submission, task)
    except UserError as error:
        return f"not submitted again ({error}); the sweep's keeper will"
    return f"submitted again as job {new}" if new else None


def go_elsewhere(submission: Submission) -> bool:
    """Where this node failed twice under the sweep: put the job back into the queue for another. False where it may as well run here."""
    job = this_job()
    if submission.launcher != "slurm" or job is None or job["name"] != submission.job_name:
        return False
    shunned = failed_twice(submission.sweep_folder)
    return node() in shunned and requeue_this_job(exclude=shunned)
