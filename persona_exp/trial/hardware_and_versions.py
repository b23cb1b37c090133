"""What an attempt ran on: hardware, versions, threads. Recorded, never part of a trial's identity."""

import os
import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

LIBRARIES = ("torch", "transformers", "peft", "trl", "bitsandbytes", "accelerate", "datasets")


@cache
def versions() -> dict[str, str]:
    """Return Python and the libraries that a result's bits depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}


def hardware() -> dict[str, Any]:
    """Return the processor, the cores and the GPU a trial computes on."""
    import torch

    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    capability = torch.backends.cpu.get_cpu_capability()
    return {"cpu": _processor(), "cpu_capability": capability, "cores": len(os.sched_getaffinity(0)), "gpu": gpu}


def gpus() -> int:
    """Return how many GPUs this process can compute on."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
