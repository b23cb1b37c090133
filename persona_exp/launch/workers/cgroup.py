"""What the kernel says of this process's control group, which is how Slurm holds a job to its memory."""

import os
from pathlib import Path

GROUPS = Path("/proc/self/cgroup")
MOUNT = Path("/sys/fs/cgroup")


def out_of_memory_kills(groups: Path = GROUPS, mount: Path = MOUNT) -> int:
    """How many processes of this group the kernel has killed for want of memory; 0 where it does not say."""
    try:
        lines = groups.read_text().splitlines()
    except OSError:
        return 0
    counted = 0
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            counted += _count(mount / path.lstrip("/") / "memory.events")
        elif "memory" in controllers.split(","):
            counted += _count(mount / "memory" / path.lstrip("/") / "memory.oom_control")
    return counted


def memory_gb(groups: Path = GROUPS, mount: Path = MOUNT) -> float:
    """What this process may use at most, in GiB: the machine's memory, or what its control group or one around it is held to."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    try:
        lines = groups.read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        old = "memory" in controllers.split(",")
        if controllers and not old:
            continue
        top = mount / "memory" if old else mount
        folder = top / path.lstrip("/")
        inside = [folder, *(one for one in folder.parents if one.is_relative_to(top))]
        limits += [size for one in inside if (size := _size(one / ("memory.limit_in_bytes" if old else "memory.max")))]
    return min(limits) / (1 << 30)


def _size(path: Path) -> int | None:
    try:
        told = path.read_text().strip()
    except OSError:
        return None
    return int(told) if told.isdigit() else None


def _count(path: Path) -> int:
    try:
        text = path.read_text()
    except OSError:
        return 0
    pairs = [line.partition(" ")[::2] for line in text.splitlines()]
    return sum(int(value) for name, value in pairs if name == "oom_kill" and value.isdigit())
