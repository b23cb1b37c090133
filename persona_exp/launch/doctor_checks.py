"""The checks of a site before a sweep is sent there: Slurm, the GPU, the libraries, the disks. Imports no torch, changes nothing."""

import os
import shlex
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from persona_exp.config.schema import Cluster, Config
from persona_exp.errors import UserError
from persona_exp.launch.check_result import Check
from persona_exp.launch.host_room import memory_fault, weights_gb
from persona_exp.launch.launcher_options import SlurmOptions, launch_options
from persona_exp.launch.slurm import sbatch_script, site_limits, submit_and_cancel
from persona_exp.launch.slurm.slurm_command import ask
from persona_exp.launch.slurm.slurm_queue import at_hand
from persona_exp.launch.sweeps.keeper_job import KEEPER_SETTINGS, keeper_options
from persona_exp.modeling import hub_download
from persona_exp.modeling.cuda_driver import driver_cuda, driver_fault, torch_cuda
from persona_exp.modeling.model_cache import cache_folder
from persona_exp.modeling.node_scratch_copy import os_error_reason, scratch_folder

SECONDS = 3.0
# What of runs/ all trials write to.
SHARED = ("trials", "data", "code", "sweeps")
GB = 1e9
# What Slurm's commands say where there is no slurm.conf.
UNCONFIGURED = ("DNS SRV lookup failed", "configuration source", "Unable to process configuration file")
FEW_GB, FEW_INODES = 10.0, 50_000
# The first capability whose tensor cores compute in bfloat16 (Ampere).
BF16_CAPABILITY = 8.0
LIBRARIES = ("torch", "transformers", "peft", "trl", "bitsandbytes")


def check_slurm(cluster: Cluster, options: Mapping[str, Any]) -> list[Check]:
    """Check the commands, the partition, the limits, the accounting, whether sbatch would take a job with `options` (submitit's names)."""
    if not at_hand():
        return [
            Check("Slurm", "warn", "sbatch is not installed here", "log in to a cluster's login node; hydra/launcher=local needs no Slurm")
        ]
    there = options.get("clusters")
    cluster = replace(cluster, **{name: options[name] for name in ("partition", "timeout_min", "gpus_per_node") if name in options})
    partitions = ask(["sinfo", "--noheader", "--format=%P|%a|%l|%G"], seconds=SECONDS, cluster=there)
    if partitions and partitions.code and any(words in partitions.error for words in UNCONFIGURED):
        fix = "nothing to do for hydra/launcher=local; for hydra/launcher=slurm log in to a cluster, or set SLURM_CONF"
        return [Check("Slurm", "warn", "its commands are installed here, but belong to no cluster", fix)]
    if partitions is None or partitions.code:
        why = partitions.reason.split(";")[0] if partitions else f"no answer for {SECONDS:.0f} s"
        return [Check("Slurm", "fail", f"the controller does not answer ({why})", "try again, or ask the site")]
    checks = [Check("Slurm", "ok", (ask(["sbatch", "--version"], seconds=SECONDS) or partitions).out.split("\n")[0])]
    checks.append(_partition(cluster, [line.split("|") for line in partitions.out.splitlines() if line.count("|") == 3]))
    allowed = site_limits.limits_of_job({"partition": cluster.partition, "account": cluster.account, "qos": cluster.qos, **options})
    most = allowed.max_submit_jobs if allowed.max_submit_jobs is not None else "any number of"
    checks.append(Check("limits", "ok", f"arrays up to index {allowed.max_array_size - 1:,}, {most} jobs submitted at once"))
    checks.append(_accounting())
    checks.append(_commands())
    keeper = keeper_options(options, launch_options(SlurmOptions(), cluster))
    fix = f"correct {KEEPER_SETTINGS}"
    checks.append(_test_only("sbatch --test-only", options, "correct cluster.partition, account, qos, gpus_per_node or mem_gb"))
    return [*checks, _test_only("keeper", keeper, fix)]


def check_gpu(config: Config) -> list[Check]:
    """Check the GPU of this machine and what its kernels need."""
    gpus = _run(["nvidia-smi", "--query-gpu=name,memory.total,compute_cap,driver_version", "--format=csv,noheader,nounits"])
    if not gpus:
        fix = "on a cluster run this on a compute node (srun --gpus=1 persona-exp doctor); on a CPU only small models train"
        return [Check("GPU", "warn", "none is seen on this machine", fix), *_libraries(), _attention(config)]
    checks = []
    for line in gpus.splitlines():
        name, memory, capability, driver = (field.strip() for field in line.split(","))
        checks.append(Check("GPU", "ok", f"{name}, {float(memory) / 1024:.0f} GiB, driver {driver}"))
        if float(capability) < BF16_CAPABILITY:
            fix = "set model.dtype=float16, or ask for an Ampere GPU or newer"
            checks.append(Check("bf16", "warn", f"{name} (compute capability {capability}) has no bfloat16 units", fix))
        else:
            checks.append(Check("bf16", "ok", f"compute capability {capability}"))
    return [*checks, *_libraries(), _cuda(), _attention(config)]


def check_disks(config: Config) -> list[Check]:
    """Check the free space, inodes and hard links where results go, the caches, the scratch disk, and the room for the base model."""
    checks = [*_room("runs", Path(config.runs)), _links(Path(config.runs)), _group(Path(config.runs)), _quota()]
    checks += _room("cache", cache_folder())
    hub = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()
    if config.model.source == "hub":
        checks += _room("HF_HOME", hub)
        checks += _model(config)
    elif config.model.source == "path" and Path(config.model.location).expanduser().is_dir():
        checks += _host_memory(config, weights_gb(Path(config.model.location).expanduser()))
    if config.cluster.scratch:
        try:
            checks.append(Check("scratch", "ok", str(scratch_folder(config.cluster.scratch))))
        except OSError as error:
            fix = "that matters on compute nodes alone: there, models are read from the shared folder instead"
            checks.append(Check("scratch", "warn", f"cluster.scratch={config.cluster.scratch}: {os_error_reason(error)}", fix))
    return checks


def _partition(cluster: Cluster, rows: list[list[str]]) -> Check:
    """Check the partition in `rows` of sinfo: partition (the default one with a star), whether it is up, its time limit, its resources."""
    mine = [row for row in rows if row[0].rstrip("*") == cluster.partition or (cluster.partition is None and row[0].endswith("*"))]
    names = ", ".join(sorted({row[0].rstrip("*") for row in rows}))
    if not mine:
        what = f"there is no {cluster.partition}" if cluster.partition else "the site has no default partition"
        return Check("partition", "fail", what, f"set cluster.partition to one of {names}")
    name = mine[0][0].rstrip("*")
    if not any(row[1] == "up" for row in mine):
        return Check("partition", "fail", f"{name} is {mine[0][1]}", "ask the site, or take another partition")
    longest = max(_minutes(row[2]) for row in mine)
    if longest < cluster.timeout_min:
        return Check("partition", "fail", f"jobs may last {longest:.0f} min in {name}", f"set cluster.timeout_min={longest:.0f} or less")
    resources = ", ".join(sorted({row[3] for row in mine}))
    kind = cluster.gpus_per_node.split(":")[0] if cluster.gpus_per_node and ":" in cluster.gpus_per_node else ""
    if cluster.gpus_per_node and f"gpu:{kind}" not in resources:
        fix = "correct cluster.gpus_per_node or cluster.partition"
        return Check("partition", "fail", f"{name} has no {kind or 'GPU'}, but {resources}", fix)
    return Check("partition", "ok", f"{name} ({resources})")


def _minutes(limit: str) -> float:
    """Return the minutes of sinfo's `1-02:00:00`, `30:00`, `infinite`."""
    days, _, clock = limit.strip().rpartition("-")
    parts = clock.split(":")
    if not all(part.isdigit() for part in parts):
        return float("inf")
    hours, minutes, rest = (int(part) for part in ["0", "0", *parts][-3:])
    return ((int(days or 0) * 24 + hours) * 60 + minutes) + rest / 60


def _accounting() -> Check:
    answer = ask(["sacct", "--allocations", "--noheader", "--starttime=now"], seconds=SECONDS)
    if answer is None or answer.code:
        return Check("accounting", "warn", "sacct tells nothing", "nothing to do: causes and hours come from the trials' own records")
    return Check("accounting", "ok", "sacct answers")


def _commands() -> Check:
    missing = [name for name in ("squeue", "scontrol", "scancel", "srun") if not at_hand(name)]
    if missing:
        fix = "nothing to do: jobs are submitted anew instead of requeued" if missing == ["scontrol"] else "ask the site"
        return Check("commands", "warn", f"{', '.join(missing)} is missing here", fix)
    return Check("commands", "ok", "squeue, scontrol, scancel and srun are here")


def _test_only(name: str, options: Mapping[str, Any], fix: str) -> Check:
    with tempfile.TemporaryDirectory() as folder:
        try:
            where = Path(folder)
            text = sbatch_script.script(
                "true", folder=where, name="doctor", options=options, array=None, parallelism=1, dependency=None, environment={}
            )
            return Check(name, "ok", submit_and_cancel.test_only(text, where / "doctor.sbatch").strip())
        except UserError as error:
            reason_given = str(error).partition(": ")[2] or str(error)
            return Check(name, "fail", reason_given.rstrip("."), fix)


def _libraries() -> list[Check]:
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        return [Check("libraries", "fail", f"{', '.join(missing)} is not installed", "run make setup, or activate the environment")]
    return [Check("libraries", "ok", ", ".join(f"{name} {version(name)}" for name in LIBRARIES))]


def _cuda() -> Check:
    """Check that torch and bitsandbytes were built for this driver's GPUs, by their files: importing them takes seconds."""
    built, driver = torch_cuda(), driver_cuda()
    fault = driver_fault(driver, built)
    if fault:
        return Check("kernels", "fail", *fault)
    if not list(_package("bitsandbytes").glob("libbitsandbytes_cuda*.so")):
        return Check("kernels", "fail", "bitsandbytes has no CUDA library", "run make setup again, or leave out method=qlora")
    return Check("kernels", "ok", f"torch for CUDA {built}, a driver for CUDA {driver}, bitsandbytes with CUDA")


def _attention(config: Config) -> Check:
    if config.model.attention != "flash_attention_2":
        return Check("attention", "ok", f"model.attention={config.model.attention} needs nothing more")
    try:
        return Check("attention", "ok", f"flash-attn {version('flash-attn')}")
    except PackageNotFoundError:
        return Check("attention", "fail", "flash-attn is not installed", "install it, or set model.attention=sdpa")


def _package(name: str) -> Path:
    spec = find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else Path(os.devnull)


def _room(name: str, folder: Path) -> list[Check]:
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
    if not os.access(there, os.W_OK):
        fix = "choose another folder with PERSONA_EXP_RUNS, PERSONA_EXP_CACHE or HF_HOME"
        return [Check(name, "fail", f"{there} cannot be written to", fix)]
    disk = os.statvfs(there)
    free = disk.f_bavail * disk.f_frsize / GB
    # Some file systems count no inodes, and say 0.
    few = disk.f_files > 0 and disk.f_favail < FEW_INODES
    found = f"{folder}: {free:,.0f} GB free" + (f", {disk.f_favail:,} inodes" if disk.f_files else "")
    if free < FEW_GB or few:
        return [Check(name, "warn", found, "make room: persona-exp clean says what can go")]
    return [Check(name, "ok", found)]


def _links(runs: Path) -> Check:
    """Check for hard links, of which claims are made."""
    there = next(path for path in (runs.absolute(), *runs.absolute().parents) if path.is_dir())
    try:
        with tempfile.TemporaryDirectory(dir=there, prefix=".doctor-") as folder:
            (Path(folder) / "a").touch()
            os.link(Path(folder) / "a", Path(folder) / "b")
    except OSError as error:
        return Check(
            "hard links", "fail", f"{there} has none ({os_error_reason(error)})", "put runs/ on another file system with PERSONA_EXP_RUNS"
        )
    return Check("hard links", "ok", f"{there} has them, so that no trial is claimed twice")


def _group(runs: Path) -> Check:
    """Check whether a group may share the results: its folders hand the group on, and the group may write to them."""
    shared = [one for one in (runs, *(runs / name for name in SHARED)) if one.is_dir()]
    if not shared or not runs.stat().st_mode & stat.S_IWGRP:
        how = "`chgrp -R GROUP`, `chmod -R g+rwX`, and `chmod g+s` on its folders"
        return Check("group", "ok", f"{runs} is its owner's alone to write to; {how} share it with a group")
    fix = f"find {shlex.quote(str(runs))} -type d -exec chmod g+rwxs {{}} +"
    if closed := [one for one in shared if not one.stat().st_mode & stat.S_IWGRP]:
        return Check("group", "warn", f"the group may write to {runs}, but not to {closed[0]}", fix)
    if own := [one for one in shared if not one.stat().st_mode & stat.S_ISGID]:
        return Check("group", "warn", f"{own[0]} has no setgid bit: what is made there has each person's own group", fix)
    if other := [one for one in shared if one.stat().st_gid != runs.stat().st_gid]:
        return Check("group", "warn", f"{other[0]} is of another group than {runs}", f"chgrp -R --reference={runs} {runs}")
    return Check("group", "ok", f"the group of {runs} shares it")


def _quota() -> Check:
    answer = _run(["quota", "--no-wrap", "--human-readable"]) if shutil.which("quota") else None
    if not answer:
        return Check("quota", "ok", "this machine reports none")
    # A star marks what is over its limit.
    over = "; ".join(line.strip() for line in answer.splitlines() if "*" in line)
    if over:
        return Check("quota", "fail", over, "make room: persona-exp clean says what can go")
    return Check("quota", "ok", "not reached")


def _model(config: Config) -> list[Check]:
    """Check that the model of the hub is here, or that there is room for it, and that a job's memory takes its weights."""
    from huggingface_hub import constants, try_to_load_from_cache

    name, revision = config.model.location, config.model.revision
    found = try_to_load_from_cache(name, "config.json", revision=revision)
    if isinstance(found, str):
        weights = weights_gb(Path(found).parent)
        return [Check("model", "ok", f"{name} is in the cache, {weights:,.1f} GB of weights"), *_host_memory(config, weights)]
    fix = f"it is downloaded at submission; without internet here: hf download {name} where there is"
    missing = f"{name} is not in the cache"
    if constants.HF_HUB_OFFLINE:
        return [Check("model", "warn", missing, fix)]
    try:
        needed = hub_download.download_bytes(name, revision, seconds=SECONDS)
        hub_download.refuse_little_room(name, needed)
    except UserError as error:
        return [Check("model", "fail", missing, str(error))]
    except Exception as error:
        return [Check("model", "warn", f"{missing}, and the hub does not tell its size ({type(error).__name__})", fix)]
    return [Check("model", "warn", f"{missing}, {needed / GB:,.1f} GB", fix), *_host_memory(config, needed / GB)]


def _host_memory(config: Config, weights: float) -> list[Check]:
    """Check that a job of this profile gets memory of its node for weights of so many GB."""
    memory = config.cluster.mem_gb
    if memory is None:
        return []
    fault = memory_fault(weights, memory)
    return [Check("memory", "warn", *fault) if fault else Check("memory", "ok", f"{weights:,.1f} GB of weights, {memory:,.0f} GB a job")]


def _run(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (FileNotFoundError, PermissionError, subprocess.TimeoutExpired):
        return None
    # `quota` has exit code 1 where a limit is reached.
    return done.stdout.strip() or None
