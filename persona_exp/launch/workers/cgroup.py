"""What the kernel says of this process's control group, which is how Slurm holds a job to its memory."""

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


def _count(path: Path) -> int:
    try:
        text = path.read_text()
    except OSError:
        return 0
    pairs = [line.partition(" ")[::2] for line in text.splitlines()]
    return sum(int(value) for name, value in pairs if name == "oom_kill" and value.isdigit())
