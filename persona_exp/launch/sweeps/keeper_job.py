"""The keeper as a job of Slurm: its time limit, its memory, its script."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from persona_exp.launch.sweeps.submission_record import Submission

KEEPER_MINUTES, KEEPER_GB = 60, 4
# Additional parameters that ask for what workers need: their cores, memory, GPUs, nodes, licences. A site may want the others of every job.
OF_WORKERS = re.compile(
    "(cpus?|mincpus|extra_node_info|mem|gpus?|gres|tres|tmp|cores?|threads?|sockets?|distribution|hint|prefer|constraint|"
    "cluster_constraint|batch|node|exclu|contiguous|spread_job|use_min_nodes|switches|oversubscribe|overcommit|licenses|"
    "bb|network|reservation|time_min|begin|deadline)"
)
KEEPER_SETTINGS = "cluster.keeper_partition, keeper_qos, keeper_mem_gb, keeper_mem_per_cpu or keeper_timeout_min"


def keeper_script(submission: Submission, after: Sequence[str], begin_seconds: int | None = None) -> str:
    """Return the script of the keeper: one core, no GPU, when the jobs `after` have ended, not before `begin_seconds` from now."""
    from persona_exp.launch.slurm.sbatch_script import in_code_snapshot, script
    from persona_exp.launch.slurm.verified_start import verified_start_in_script

    launch = submission.options["launch"]
    sbatch = keeper_options(submission.options["sbatch"], launch)
    if begin_seconds:
        sbatch["additional_parameters"] = {**sbatch["additional_parameters"], "begin": f"now+{begin_seconds}"}
    return script(
        verified_start_in_script(launch["python"], submission.code, "persona_exp.launch.sweeps.keeper", [str(submission.sweep_folder)]),
        folder=submission.logs,
        name=submission.keeper_name,
        options=in_code_snapshot(submission.code, sbatch),
        array=None,
        parallelism=1,
        dependency=f"afterany:{':'.join(after)}" if after else None,
        environment={"HF_HUB_OFFLINE": "1"},
    )


def keeper_options(given: Mapping[str, Any], launch: Mapping[str, Any]) -> dict[str, Any]:
    """Return sbatch's options of the keeper of a sweep whose workers have those `given`, and which was launched with `launch`."""
    # A reservation or constraint is for the GPUs' sake, and holds for their partition.
    names = ("account", "qos", "clusters", "setup", "mail_user", "mail_type", "stderr_to_stdout")
    sbatch = {name: given[name] for name in names if name in given}
    sbatch |= {name: launch[f"keeper_{name}"] for name in ("partition", "qos") if launch.get(f"keeper_{name}")}
    sbatch.setdefault("partition", given.get("partition"))
    # A site that wants memory by the core refuses the other.
    per_cpu = launch.get("keeper_mem_per_cpu") or (f"{KEEPER_GB}G" if "mem_per_cpu" in given else None)
    gb = launch.get("keeper_mem_gb")
    sbatch |= {"mem_per_cpu": per_cpu} if per_cpu and not gb else {"mem_gb": gb or KEEPER_GB}
    more = {name: value for name, value in given.get("additional_parameters", {}).items() if not OF_WORKERS.match(name.replace("-", "_"))}
    sbatch |= {"comment": f"{given['comment']} keeper" if given.get("comment") else "keeper", "additional_parameters": more}
    return {**sbatch, "timeout_min": _minutes(given, launch), "cpus_per_task": 1, "use_srun": False}


def keeper_minutes(submission: Submission) -> int:
    """Return the keeper's time limit: as the site says, else no more than a worker has."""
    return _minutes(submission.options["sbatch"], submission.options["launch"])


def _minutes(given: Mapping[str, Any], launch: Mapping[str, Any]) -> int:
    return int(launch.get("keeper_timeout_min") or min(KEEPER_MINUTES, int(given.get("timeout_min") or KEEPER_MINUTES)))


def submit_keeper(submission: Submission, after: Sequence[str], begin_seconds: int | None = None) -> str:
    """Submit the keeper behind other jobs and return its id."""
    from persona_exp.launch.slurm.submit_and_cancel import submit

    return submit(keeper_script(submission, after, begin_seconds), submission.folder / "keeper.sbatch")
