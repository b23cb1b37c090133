"""What memory the kernel gives this process: the machine's, held down by its control groups, which is how Slurm holds a job to its own."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

GROUPS = Path("/proc/self/cgroup")
MOUNT = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True)
class Names:
    """Files of a group in one version of control groups: what it may use, what it uses, its counts with the file cache in them that the
    kernel gives up before it refuses memory, and the count of processes killed for want of it."""

    limit: str
    used: str
    cache: tuple[str, str]
    kills: str


FIRST = Names("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file"), "memory.oom_control")
SECOND = Names("memory.max", "memory.current", ("inactive_file", "active_file"), "memory.events")


def out_of_memory_kills(groups: Path = GROUPS, mount: Path = MOUNT) -> int:
    """Return how many processes of this group the kernel killed for want of memory; 0 where it does not say."""
    return sum(_pairs(folder / names.kills).get("oom_kill", 0) for folder, _, names in _own(groups, mount))


def memory_gb(groups: Path = GROUPS, mount: Path = MOUNT) -> float:
    """Return what this process may use at most, in GiB: the machine's memory, or what its group or one around it is held to."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = [limit for folder, names in _around(groups, mount) if (limit := _number(folder / names.limit))]
    return min([machine, *limits]) / (1 << 30)


def free_bytes(groups: Path = GROUPS, mount: Path = MOUNT, meminfo: Path = MEMINFO) -> int:
    """Return what this process may take now; sys.maxsize where the system does not say."""
    kib = _pairs(meminfo).get("MemAvailable:")
    free = [sys.maxsize if kib is None else kib * 1024]
    for folder, names in _around(groups, mount):
        limit, used = _number(folder / names.limit), _number(folder / names.used)
        if limit is not None and used is not None:
            statistics = _pairs(folder / "memory.stat")
            free.append(max(0, limit - used + sum(statistics.get(name, 0) for name in names.cache)))
    return min(free)


def _own(groups: Path, mount: Path) -> Iterator[tuple[Path, Path, Names]]:
    """Return the groups that hold this process's memory, each with the folder that all of its kind are in."""
    try:
        lines = groups.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            yield mount / path.lstrip("/"), mount, SECOND
        elif "memory" in controllers.split(","):
            yield mount / "memory" / path.lstrip("/"), mount / "memory", FIRST


def _around(groups: Path, mount: Path) -> Iterator[tuple[Path, Names]]:
    """Return these and all that they are in."""
    for own, top, names in _own(groups, mount):
        yield from ((folder, names) for folder in (own, *own.parents) if folder.is_relative_to(top))


def _number(file: Path) -> int | None:
    """None also for `max`, which is no limit."""
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _pairs(file: Path) -> dict[str, int]:
    try:
        lines = [line.split() for line in file.read_text().splitlines()]
    except OSError:
        return {}
    return {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdigit()}
