"""The hours that a sweep has used, by Slurm's accounting of its jobs or else the attempts' own clocks, and what had been predicted."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from persona_exp.config.schema import Cluster
from persona_exp.counted_noun import counted
from persona_exp.errors import UserError
from persona_exp.launch.cost.cost_estimate import COST
from persona_exp.launch.cost.duration_prediction import Interval, rounded
from persona_exp.launch.cost.earlier_runs import bundle_size, own_seconds
from persona_exp.trial.recorded_sweep import read_sweep


@dataclass(frozen=True)
class HoursUsed:
    """GPU-hours (hours of computing where trials have no GPU) and who says so: `sacct`, or `the attempts' clocks`."""

    hours: float
    source: str


def hours_used(sweep_folder: Path, runs: Path, *, jobs: Mapping[str, str], since: str, gpus: int) -> HoursUsed | None:
    """Return what the sweep's trials have used since `since` (ISO, UTC), in `jobs` (id → name) or none; None where nothing is recorded."""
    seconds = _accounted(jobs, gpus)
    source = "sacct"
    if not seconds:
        source = "the attempts' clocks"
        seconds = sum(_lasted(record) * (gpus or 1) for record in _attempts(sweep_folder, runs) if record.get("started", "") >= since)
    return HoursUsed(seconds / 3600, source) if seconds else None


def compare(sweep_folder: Path, runs: Path, jobs: Mapping[str, str]) -> str | None:
    """Return one sentence, predicted against used; None where nothing was predicted or nothing was used.

    The prediction is that of the first submission which has one; a keeper's resubmissions predict nothing. Used is what Slurm's
    accounting says of `jobs` (id → name) since then, else what the attempts' own clocks say.
    """
    predictions = sorted((sweep_folder / "submissions").glob(f"*/{COST}"))
    if not predictions:
        return None
    try:
        kept = json.loads(predictions[0].read_text(encoding="utf-8"))
    except ValueError:
        raise UserError(f"{predictions[0]} is not valid JSON: remove it, and nothing is predicted.") from None
    if kept["source"] == "noop":
        return None
    used = hours_used(sweep_folder, runs, jobs=jobs, since=kept["at"], gpus=kept["gpus"])
    if used is None:
        return None
    unit = "GPU-hours" if kept["gpus"] else "Hours of computing"
    predicted = Interval(**kept["hours"]).times(kept["gpus"] or 1).text() if kept["hours"] else "unknown"
    return f"{unit}: predicted {predicted} for {counted(kept['to_run'], 'trial')}, used {rounded(used.hours)} ({used.source})."


def _accounted(jobs: Mapping[str, str], gpus: int) -> float | None:
    """Return seconds, times GPUs if there are any; None without accounting. An id that Slurm has used again is known by the job's name."""
    from persona_exp.launch.slurm import slurm_accounting
    from persona_exp.launch.slurm.slurm_command import cluster_of

    names, ended = set(jobs.values()), []
    for cluster in {cluster_of(name): None for name in names}:
        there = slurm_accounting.history([id for id, name in jobs.items() if cluster_of(name) == cluster], cluster=cluster)
        if there is None:
            return None
        ended += there
    if not jobs:
        return None
    return sum(one.elapsed_seconds * (one.alloc_gpus if gpus else 1) for one in ended if one.name in names)


def _attempts(sweep_folder: Path, runs: Path) -> Iterator[dict[str, Any]]:
    for trial_id in {trial.trial_id for trial in read_sweep(runs, sweep_folder.name).trials}:
        for path in (runs / "trials" / trial_id / "attempts").glob("[0-9]*.json"):
            yield json.loads(path.read_text(encoding="utf-8"))


def _lasted(record: Mapping[str, Any]) -> float:
    """Return seconds, of a bundle its part; of an attempt that was killed, as long as its heart beat (at the default pace)."""
    if record.get("started") and record.get("ended"):
        return own_seconds(record)
    return float(record.get("heartbeat", 0)) * Cluster.heartbeat_seconds / bundle_size(record)
