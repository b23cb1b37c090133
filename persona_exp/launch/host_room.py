"""The base model's files against what a job gets of its node's memory, and against the disk that a whole model is written to."""

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from persona_exp.config.schema import Config
from persona_exp.counted_noun import counted
from persona_exp.errors import UserError
from persona_exp.modeling.hub_download import UNUSED
from persona_exp.trial.neediest_trial_memory import least_trial_gb

GB = 1e9
# Python, torch and CUDA take so much beside the weights.
BESIDE_GB = 4.0
# Slurm's G are of 1024 cubed bytes.
SLURM_GB = 2**30 / GB
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", re.IGNORECASE)
_IN_GB = {"K": 1e-6, "M": 1e-3, "": 1e-3, "G": 1.0, "T": 1e3}


def host_memory_gb(options: Mapping[str, Any]) -> float | None:
    """Return the GB of its node's memory that a job with these options (submitit's names) asks for; None where the site decides."""
    if options.get("mem_gb"):
        return float(options["mem_gb"])
    for name, times in (("mem_per_gpu", 1), ("mem_per_cpu", int(options.get("cpus_per_task") or 1))):
        found = _SIZE.fullmatch(str(options.get(name) or "").strip())
        if found:
            return float(found[1]) * _IN_GB[found[2].upper()] * times
    return None


def weights_gb(folder: Path) -> float:
    """Return the GB of a model's weights in files, without those that some repositories carry in a second format beside them."""
    files = [path for path in folder.glob("*.safetensors") if not any(path.match(pattern) for pattern in UNUSED)]
    return sum(path.stat().st_size for path in files) / GB


def memory_fault(weights: float, memory: float | None) -> tuple[str, str] | None:
    """Return (what, fix) where weights of so many GB in files do not fit a job's memory in GB; None where they do, or that is not known."""
    if memory is None or weights + BESIDE_GB <= memory * SLURM_GB or weights < 1:
        return None
    what = f"the base model's weights are {weights:,.1f} GB in files and a job gets {memory:,.0f} GB of its node's memory"
    return what, f"set hydra.launcher.mem_gb={int(weights + BESIDE_GB) + 1} or more"


def check_host(configs: Sequence[Config], folders: Sequence[Path], options: Mapping[str, Any], *, gpu: bool) -> list[str]:
    """Return warnings, a sentence each, of what the nodes and the disk may lack for these trials, whose models are in `folders`.

    Raise UserError where the largest cannot be loaded at all: unquantised, on processors, which hold it whole; or where not one whole model
    (method=full) can be written.
    """
    sized = sorted(zip(map(weights_gb, folders), configs, strict=True), key=lambda one: -one[0])
    warnings = []
    for weights, config in sized[:1]:
        memory = host_memory_gb(options)
        fault = memory_fault(weights, memory)
        # Files in 32 bits may be half as large in memory: what may fit is not refused.
        hopeless = memory_fault(weights / 2, memory) is not None
        if fault and hopeless and not gpu and config.method.quantisation == "none":
            raise UserError(f"{config.model.location}: {fault[0]}: {fault[1]}, or take method=qlora.")
        if fault:
            warnings.append(f"warning: {config.model.location}: {fault[0]}, through which they are read: {fault[1]}.")
    whole = [(weights, config) for weights, config in sized if config.method.name == "full"]
    if whole:
        warnings += _check_disk(whole)
    return warnings


def refuse_too_large(
    configs: Sequence[Config], memory_gb: float | None, *, gpu: bool, done: Callable[[Config], bool] = lambda _: False
) -> None:
    """Raise UserError for a trial whose weights and trained numbers alone are more than `memory_gb` GiB (None: not known); a rehearsal
    holds none, and of what is `done` nothing is left to run."""
    for config in configs:
        least = None if config.engine.name == "noop" else least_trial_gb(config, gpu=gpu)
        if least is None or memory_gb is None or least <= memory_gb or done(config):
            continue
        adapter = f" with lora.r={config.lora.r}" if config.method.name in ("lora", "qlora") else ""
        fix = {"full": "take method=qlora or", "none": "take"}.get(config.method.name, "lower lora.r or take")
        where = "a GPU here" if gpu else "this machine or job"
        raise UserError(
            f"{config.model.name}, method={config.method.name}{adapter}, needs at least {least:,.1f} GiB for its weights and what it "
            f"trains, and {where} has {memory_gb:,.1f}: {fix} a smaller model."
        )


def _check_disk(whole: Sequence[tuple[float, Config]]) -> list[str]:
    runs = Path(whole[0][1].runs).absolute()
    free = shutil.disk_usage(next(path for path in (runs, *runs.parents) if path.is_dir())).free / GB
    largest, all_of_them = whole[0][0], sum(weights for weights, _ in whole)
    room = f"{runs} has {free:,.1f} GB free"
    fix = "make room (persona-exp clean), or set PERSONA_EXP_RUNS to a folder on a larger disk"
    if largest > free:
        raise UserError(f"method=full writes whole models, of {largest:,.1f} GB, and {room}: {fix}.")
    if all_of_them > free:
        models = counted(len(whole), "whole model")
        return [f"warning: method=full writes {models}, {all_of_them:,.1f} GB without checkpoints, and {room}: {fix}."]
    return []
