"""The GPUs that this process may use, counted without torch."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

DEVICES = Path("/dev")
# A driver that is not loaded yet takes seconds.
PATIENCE_SECONDS = 20


def gpus_here(devices: Path = DEVICES) -> list[str]:
    """Return each GPU's name for CUDA_VISIBLE_DEVICES: those in it where it is set, else a number for each NVIDIA device."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        named = [one.strip() for one in visible.split(",")]
        # CUDA takes no device behind one that is not there.
        end = next((place for place, one in enumerate(named) if one in ("", "-1", "NoDevFiles")), len(named))
        return named[:end]
    return [str(number) for number in range(sum(path.name[6:].isdigit() for path in devices.glob("nvidia[0-9]*")))]


def gpu_memory_gb(gpus: Sequence[str]) -> float | None:
    """Return the memory of the smallest of these GPUs, in GiB, as the driver tells it; None where it does not, as of a slice (MIG)."""
    sizes = []
    for gpu in gpus:
        command = ["nvidia-smi", f"--id={gpu}", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
        try:
            mebibytes = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            return None
        if not mebibytes.isdigit():
            return None
        sizes.append(int(mebibytes) / 1024)
    return min(sizes, default=None)


def gpus_of(options: Mapping[str, Any]) -> int:
    """Return how many GPUs a job with these sbatch options (submitit's names) gets: `a100:1` is 1."""
    _, given = _asked(options) or ("", "0")
    last = given.split("(")[0].rsplit(":", 1)[-1]
    return int(last) if last.isdigit() else 1


def gpus_asked(options: Mapping[str, Any]) -> str | None:
    """Return the option that asks for GPUs, as `gpus_per_node=a100:1`; None where none does."""
    found = _asked(options)
    return f"{found[0]}={found[1]}" if found and gpus_of(options) else None


def _asked(options: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the first option that names GPUs, and what it says."""
    more = {str(name).replace("-", "_"): value for name, value in dict(options.get("additional_parameters") or {}).items()}
    for name in ("gpus_per_node", "gpus_per_task", "gres", "gpus"):
        given = [one.removeprefix("gres/") for one in str(options.get(name) or more.get(name) or "").split(",")]
        given = [one for one in given if one and (name != "gres" or one.startswith("gpu"))]
        if given:
            return name, given[0]
    return None
