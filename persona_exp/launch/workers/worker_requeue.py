"""A worker's job put back into the queue when the worker leaves, or away from a node that failed."""

from collections.abc import Sequence

from persona_exp import atomic_files
from persona_exp.errors import UserError
from persona_exp.launch.recovery.failed_nodes import nodes_to_avoid
from persona_exp.launch.slurm.requeue import cancelled_by_user, requeue_this_job
from persona_exp.launch.sweeps.job_arrays import submit_again
from persona_exp.launch.sweeps.submission_record import Submission
from persona_exp.process_identity import node_name, this_job


def requeue_worker(submission: Submission, open_seals: Sequence[str]) -> str | None:
    """Put this worker's job back into the queue and return how; None where the keeper must see to it.

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
    except (UserError, OSError) as error:
        return f"not submitted again ({error}); the sweep's keeper will"
    return f"submitted again as job {new}" if new else None


def requeue_away_from_failed_node(submission: Submission) -> bool:
    """Put the job back into the queue where this node failed twice under the sweep; return False where it may as well run here."""
    job = this_job()
    if submission.launcher != "slurm" or job is None or job["name"] != submission.job_name:
        return False
    away = nodes_to_avoid(submission.sweep_folder, submission.options["sbatch"])
    if node_name() not in away:
        return False
    # Slurm may start it here once more where these nodes could not be excluded: then it runs here, or it would come and go for ever.
    first = atomic_files.create_text(submission.folder / "put-back" / f"{job['id']}-{node_name()}", "")
    return first and requeue_this_job(exclude=away)
