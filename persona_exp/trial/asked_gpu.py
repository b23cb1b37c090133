"""The GPU that a job asked for, which must be there: on processors it would compute for days, and other bits."""

import os
from collections.abc import Mapping
from pathlib import Path

from persona_exp.errors import UserError
from persona_exp.modeling.cuda_driver import driver_cuda, driver_fault, torch_cuda
from persona_exp.process_identity import node_name

# Set by a worker: how its job asked for a GPU; empty where its sweep's options ask for none.
VARIABLE = "PERSONA_EXP_ASKED_GPU"
# What Slurm tells a job of the GPUs it was given, or asked for.
_SLURM = ("SLURM_GPUS_ON_NODE", "SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "SLURM_GPUS_PER_NODE", "SLURM_GPUS_PER_TASK", "SLURM_GPUS")
_NONE = ("", "-1", "NoDevFiles")


class NoGpu(UserError):
    """The job asked for a GPU and sees none."""


def how_asked(variables: Mapping[str, str], gpus_per_node: str | None) -> str | None:
    """Return how a job with this environment asked for a GPU, as `SLURM_GPUS_ON_NODE=1`; None where it did not.

    `gpus_per_node` is that of the trial's cluster profile, which counts in a job alone.
    """
    if variables.get(VARIABLE):
        return variables[VARIABLE]
    if "SLURM_JOB_ID" not in variables:
        return None
    # A list of devices begins with the device 0.
    given = {name: variables.get(name, "") for name in _SLURM}
    counts = {name: value for name, value in given.items() if value and (name in _SLURM[1:3] or value.rsplit(":", 1)[-1] != "0")}
    if counts:
        return next(f"{name}={value}" for name, value in counts.items())
    if VARIABLE in variables:
        # hydra.launcher.gpus_per_node=0 wins over the profile.
        return None
    return f"cluster.gpus_per_node={gpus_per_node}" if gpus_per_node and gpus_per_node.rsplit(":", 1)[-1] != "0" else None


def visible_devices_asked(variables: Mapping[str, str]) -> str | None:
    """Return `CUDA_VISIBLE_DEVICES=0` where that names a device; None where it is not set, or hides all."""
    devices = variables.get("CUDA_VISIBLE_DEVICES", "")
    return f"CUDA_VISIBLE_DEVICES={devices}" if devices.split(",")[0].strip() not in _NONE else None


def refuse_missing_gpu(gpus_per_node: str | None) -> None:
    """Raise NoGpu where this process's job asked for a GPU and torch sees none; warn where there is one that torch cannot use."""
    import torch

    if torch.cuda.is_available():
        return
    cause, fix = driver_fault(driver_cuda(), torch_cuda()) or (
        "driver and torch fit, but no device can be used",
        "see that the job gets the device (/dev/nvidia*, its cgroup or container), or keep the node out with hydra.launcher.exclude",
    )
    asked = how_asked(os.environ, gpus_per_node)
    if asked:
        raise NoGpu(f"The job asked for a GPU ({asked}) and torch sees none on {node_name()}: {cause}; {fix}.")
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip() in _NONE
    if not hidden and any(Path("/dev").glob("nvidia[0-9]*")):
        print(f"warning: there is a GPU here, and the trial computes on processors: {cause}; {fix}.", flush=True)
