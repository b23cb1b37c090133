"""The keeper as a job of Slurm: its time limit, its memory, its script."""

import shlex
from collections.abc import Sequence

from persona_exp.launch.sweeps.submission_record import Submission

KEEPER_MINUTES, KEEPER_GB = 60, 4


def keeper_script(submission: Submission, after: Sequence[str], begin_seconds: int | None = None) -> str:
    """Return the script of the keeper: one core, no GPU, when the jobs `after` have ended, not before `begin_seconds` from now."""
    from persona_exp.launch.slurm.sbatch_script import in_code_snapshot, script

    launch, given = submission.options["launch"], submission.options["sbatch"]
    # A reservation or constraint is for the GPUs' sake, and holds for their partition.
    sbatch = {name: given[name] for name in ("account", "qos", "setup", "mail_user", "mail_type", "stderr_to_stdout") if name in given}
    sbatch |= {"partition": launch["keeper_partition"] or given.get("partition"), "timeout_min": keeper_minutes(submission)}
    sbatch |= {"cpus_per_task": 1, "mem_gb": KEEPER_GB, "use_srun": False, "comment": "keeper"}
    if begin_seconds:
        sbatch["additional_parameters"] = {"begin": f"now+{begin_seconds}"}
    return script(
        shlex.join([launch["python"], "-m", "persona_exp.launch.sweeps.keeper", str(submission.sweep_folder)]),
        folder=submission.logs,
        name=submission.keeper_name,
        options=in_code_snapshot(submission.code, sbatch),
        array=None,
        parallelism=1,
        dependency=f"afterany:{':'.join(after)}" if after else None,
        environment={"HF_HUB_OFFLINE": "1"},
    )


def keeper_minutes(submission: Submission) -> int:
    """Return the keeper's time limit: no more than the site lets a worker have."""
    return min(KEEPER_MINUTES, int(submission.options["sbatch"].get("timeout_min") or KEEPER_MINUTES))


def submit_keeper(submission: Submission, after: Sequence[str], begin_seconds: int | None = None) -> str:
    """Submit the keeper behind other jobs and return its id."""
    from persona_exp.launch.slurm.submit_and_cancel import submit

    return submit(keeper_script(submission, after, begin_seconds), submission.folder / "keeper.sbatch")
