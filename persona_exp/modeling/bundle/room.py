"""How much memory there is to take now: of a GPU, or of the machine and of the control group that Slurm holds a job in."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

MEMINFO = Path("/proc/meminfo")
GROUPS = Path("/proc/self/cgroup")
MOUNT = Path("/sys/fs/cgroup")
# Limit, use and the file cache within it that the kernel gives up before it refuses memory: of control groups' version 2 and version 1.
NAMES = {
    2: ("memory.max", "memory.current", ("inactive_file", "active_file")),
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file")),
}


def free_bytes(device: "torch.device") -> int:
    """Bytes to be had on `device` now, those included that PyTorch holds on to without using them."""
    import torch

    if device.type == "cuda":
        torch.cuda.empty_cache()
        free: int = torch.cuda.mem_get_info(device)[0]
        return free
    return min(_of_machine(MEMINFO), of_groups())


def of_groups(groups: Path = GROUPS, mount: Path = MOUNT) -> int:
    """Bytes that this process's control group and those around it still allow; sys.maxsize where none sets a limit."""
    try:
        lines = groups.read_text().splitlines()
    except OSError:
        return sys.maxsize
    free = sys.maxsize
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            free = min(free, _of_group(mount, path, 2))
        elif "memory" in controllers.split(","):
            free = min(free, _of_group(mount / "memory", path, 1))
    return free


def _of_group(mount: Path, path: str, version: int) -> int:
    limit, use, cache = NAMES[version]
    free = sys.maxsize
    group = mount / path.lstrip("/")
    for folder in (group, *group.parents):
        if not folder.is_relative_to(mount):
            break
        allowed, used = _number(folder / limit), _number(folder / use)
        if allowed is not None and used is not None:
            told = _pairs(folder / "memory.stat")
            free = min(free, max(0, allowed - used + sum(told.get(name, 0) for name in cache)))
    return free


def _of_machine(meminfo: Path) -> int:
    """sys.maxsize where the system does not say, as outside of Linux."""
    kib = _pairs(meminfo).get("MemAvailable:")
    return sys.maxsize if kib is None else kib * 1024


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
