"""The nodes that failed under a sweep: one empty file for each incident, so that counting reads no trials."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from persona_exp.atomic_files import make_folder

# A node that failed so often under one sweep is kept out of the way of its jobs.
TWICE = 2


def note_failed_node(sweep_folder: Path, record: Mapping[str, Any]) -> None:
    """Record that its node failed under this attempt. All attempts that one incident ended count once."""
    folder = _nodes(sweep_folder) / str(record["host"])
    make_folder(folder)
    (folder / _incident(record)).touch()


def failed_twice(sweep_folder: Path) -> list[str]:
    """Return the hosts that failed at least twice."""
    return sorted(path.name for path in _nodes(sweep_folder).glob("*") if len(list(path.iterdir())) >= TWICE)


def nodes_to_avoid(sweep_folder: Path, sbatch: Mapping[str, Any]) -> list[str]:
    """Return the nodes to keep jobs with these options away from: those that failed twice under the sweep.

    As far as there are others in the partition; none where the person names the nodes, or Slurm does not tell.
    """
    failed = failed_twice(sweep_folder)
    if not failed or sbatch.get("nodelist"):
        return []
    from persona_exp.launch.slurm.slurm_queue import nodes

    # sbatch refuses a name that Slurm does not know, such as that of a login node.
    known = nodes(sbatch.get("partition"), cluster=sbatch.get("clusters"))
    found = [name for name in failed if name in known]
    return found if set(found) < known else []


def _incident(record: Mapping[str, Any]) -> str:
    """Return the name of the incident: one start of the machine fails once; where that is not known, one start of a job does."""
    boot, job = str(record.get("process_started") or "").partition(":")[0], record.get("job")
    return boot or (f"{job['id']}-{job['restarts']}" if job else "unknown")


def _nodes(sweep_folder: Path) -> Path:
    return sweep_folder / "failed-nodes"
