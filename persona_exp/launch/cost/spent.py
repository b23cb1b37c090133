"""What a sweep has used: Slurm's accounting of its jobs, else the attempts' own clocks."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from persona_exp.config.schema import Cluster
from persona_exp.launch.cost.history import company, own_seconds
from persona_exp.trial.reader import read_sweep


@dataclass(frozen=True)
class Spent:
    """GPU-hours (hours of computing where trials have no GPU) and who says so: `sacct`, or `the attempts' clocks`."""

    hours: float
    source: str


def spent(sweep_folder: Path, runs: Path, *, jobs: Mapping[str, str], since: str, gpus: int) -> Spent | None:
    """What the sweep's trials have used from `since` (ISO, UTC) on, in `jobs` (id → name) or none; None where nothing is recorded."""
    seconds = _accounted(jobs, gpus)
    source = "sacct"
    if not seconds:
        source = "the attempts' clocks"
        seconds = sum(_lasted(record) * (gpus or 1) for record in _attempts(sweep_folder, runs) if record.get("started", "") >= since)
    return Spent(seconds / 3600, source) if seconds else None


def _accounted(jobs: Mapping[str, str], gpus: int) -> float | None:
    """Seconds, times GPUs where there are any; None without accounting. A job id that Slurm has used again is told by its name."""
    from persona_exp.launch.slurm import queue

    ended = queue.history(list(jobs)) if jobs else None
    if ended is None:
        return None
    names = set(jobs.values())
    return sum(one.elapsed_seconds * (one.alloc_gpus if gpus else 1) for one in ended if one.name in names)


def _attempts(sweep_folder: Path, runs: Path) -> Iterator[dict[str, Any]]:
    for trial_id in {trial.trial_id for trial in read_sweep(runs, sweep_folder.name).trials}:
        for path in (runs / "trials" / trial_id / "attempts").glob("[0-9]*.json"):
            yield json.loads(path.read_text(encoding="utf-8"))


def _lasted(record: Mapping[str, Any]) -> float:
    """Seconds, of a bundle its part; of an attempt that was killed, as long as its heart beat (at the default pace)."""
    if record.get("started") and record.get("ended"):
        return own_seconds(record)
    return float(record.get("heartbeat", 0)) * Cluster.heartbeat_seconds / company(record)
