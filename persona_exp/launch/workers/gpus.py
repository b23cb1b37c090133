"""The GPUs that this process may use, counted without torch."""

import os
from pathlib import Path

DEVICES = Path("/dev")


def gpus_here(devices: Path = DEVICES) -> list[str]:
    """What CUDA_VISIBLE_DEVICES may say of each: its own words where it is set, else a number for each NVIDIA device."""
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    if told is not None:
        named = [one.strip() for one in told.split(",")]
        # CUDA takes no device behind one that is not there.
        end = next((place for place, one in enumerate(named) if one in ("", "-1", "NoDevFiles")), len(named))
        return named[:end]
    return [str(number) for number in range(sum(path.name[6:].isdigit() for path in devices.glob("nvidia[0-9]*")))]


def gpus_of(options: dict[str, object]) -> int:
    """How many GPUs a job with these sbatch options (submitit's names) gets: `a100:1` is 1."""
    for name in ("gpus_per_node", "gpus_per_task", "gres"):
        told = str(options.get(name) or "")
        if told and (name != "gres" or told.startswith("gpu")):
            last = told.split(",")[0].split("(")[0].rsplit(":", 1)[-1]
            return int(last) if last.isdigit() else 1
    return 0
