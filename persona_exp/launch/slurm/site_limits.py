"""What a site allows: jobs in one array, jobs submitted at once, memory of a partition's GPUs."""

import getpass
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from persona_exp.launch.slurm.slurm_command import ask
from persona_exp.launch.slurm.slurm_queue import count

# Slurm's own default, for where it does not tell.
MAX_ARRAY_SIZE = 1001

# GB of GPUs that are sold with one size only; sizes that a name or feature tells (a100_80gb, 1g.10gb, gpumem:40g) come first.
_GPU_GB = {
    "b200": 180, "h200": 141, "h100": 80, "a6000": 48, "a40": 48, "l40s": 48, "l40": 48, "rtx6000ada": 48, "a5000": 24, "a30": 24,
    "a10": 24, "l4": 24, "rtx4090": 24, "rtx3090": 24, "rtx5090": 32, "t4": 16, "rtx2080ti": 11, "gtx1080ti": 11,
}  # fmt: skip
_NAMED_GB = re.compile(r"(?:^|[^0-9])(\d{1,3})(?:gb|g)(?![a-z0-9])", re.IGNORECASE)


@dataclass(frozen=True)
class Limits:
    """`max_array_size` caps the highest index + 1 of an array; `max_submit_jobs` counts each task; None: no limit, or none known.

    `queued` of the user's jobs are in the queue already; 0 without a limit on them.
    """

    max_array_size: int
    max_submit_jobs: int | None
    gpu_memory_gb: float | None
    queued: int = 0


def limits(partition: str | None, *, account: str | None = None, qos: str | None = None, cluster: str | None = None) -> Limits:
    """Return the limits that Slurm shows this user; what it does not show is Slurm's default or None."""
    most = _max_submit_jobs(partition, account, qos, cluster)
    queued = count(account, cluster=cluster) if most is not None else 0
    return Limits(_max_array_size(cluster), most, _gpu_memory_gb(partition, cluster), queued)


def limits_of_job(options: Mapping[str, Any]) -> Limits:
    """Return the limits for a job with these options of sbatch, under submitit's names."""
    return limits(options.get("partition"), account=options.get("account"), qos=options.get("qos"), cluster=options.get("clusters"))


def _max_array_size(cluster: str | None) -> int:
    answer = ask(["scontrol", "show", "config"], cluster=cluster)
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", answer.out, re.MULTILINE) if answer else None
    return int(found[1]) if found else MAX_ARRAY_SIZE


def _max_submit_jobs(partition: str | None, account: str | None, qos: str | None, cluster: str | None) -> int | None:
    """Return the lowest of the limits of the user's associations and of the quality of service that the jobs will have."""
    limits_found, services = [], {qos} if qos else set()
    where = [f"user={getpass.getuser()}", *([f"account={account}"] if account else [])]
    where += [f"cluster={cluster}"] if cluster else []
    for line in _rows("assoc", ["where", *where], "partition,maxsubmitjobs,grpsubmitjobs,defaultqos"):
        applies = not line[0] or partition is None or line[0] == partition
        limits_found += [int(limit) for limit in line[1:3] if applies and limit.isdigit()]
        services |= {line[3]} if applies and line[3] and not qos else set()
    for line in _rows("qos", [], "name,maxsubmitjobsperuser,grpsubmitjobs"):
        limits_found += [int(limit) for limit in line[1:3] if line[0] in (services or {"normal"}) and limit.isdigit()]
    return min(limits_found, default=None)


def _rows(what: str, where: list[str], fields: str) -> list[list[str]]:
    answer = ask(["sacctmgr", "--noheader", "--parsable2", "show", what, *where, f"format={fields}"])
    if answer is None or answer.code:
        return []
    rows = [line.split("|") for line in answer.out.splitlines()]
    return [row for row in rows if len(row) == len(fields.split(","))]


def _gpu_memory_gb(partition: str | None, cluster: str | None) -> float | None:
    """Return the GB of the smallest GPU of the partition: a job may land on any. None where one of them does not tell its size."""
    answer = ask(["sinfo", "--noheader", *([f"--partition={partition}"] if partition else []), "--format=%G|%f"], cluster=cluster)
    if answer is None or answer.code:
        return None
    lines = [line.split("|", 1) for line in answer.out.splitlines() if "|" in line]
    sizes_or_none = [
        _gb(resource, features) for resources, features in lines for resource in resources.split(",") if resource.startswith("gpu")
    ]
    sizes = [size for size in sizes_or_none if size is not None]
    return min(sizes) if sizes and len(sizes) == len(sizes_or_none) else None


def _gb(resource: str, features: str) -> float | None:
    """Return the GB of `gpu:a100_80gb:4(S:0-1)`, or of `gpu:2` on a node with the feature `gpu_40gb`; None where neither tells."""
    parts = resource.split("(")[0].split(":")
    name = parts[1] if len(parts) > 1 and not parts[1].isdigit() else ""
    for text in (name, *(feature for feature in features.split(",") if "gpu" in feature.lower() or "vram" in feature.lower())):
        found = _NAMED_GB.findall(text)
        if found:
            # The last one: `1g.10gb` is one slice of 10 GB.
            return float(found[-1])
    plain = re.sub(r"[^a-z0-9]", "", name.lower()).removeprefix("nvidia").removeprefix("geforce").removeprefix("tesla")
    return next((float(size) for model, size in _GPU_GB.items() if re.fullmatch(rf"{model}(sxm\d*|pcie|nvl|hbm\d?)?", plain)), None)
