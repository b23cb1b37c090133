"""What a person has exported for sbatch on a login node, taken as options of the launcher.

sbatch lets its variables win over the script, and its command line over them. So here: they win over the site's profile, and what the
command gives wins over them. They are recorded as options, and so hold for what jobs of the sweep submit later, whose own environment is
a job's and does not count.
"""

import math
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from persona_exp.errors import UserError
from persona_exp.launch.launcher_options import SlurmOptions, overridden, rivals

# Options of the launcher, by what sbatch calls its variable.
OPTIONS = {
    "SBATCH_ACCOUNT": "account", "SBATCH_PARTITION": "partition", "SBATCH_QOS": "qos", "SBATCH_CONSTRAINT": "constraint",
    "SBATCH_RESERVATION": "reservation", "SBATCH_CLUSTERS": "clusters", "SLURM_CLUSTERS": "clusters", "SBATCH_GRES": "gres",
    "SBATCH_GPUS_PER_NODE": "gpus_per_node", "SBATCH_GPUS": "gpus_per_node", "SBATCH_GPUS_PER_TASK": "gpus_per_task",
    "SBATCH_CPUS_PER_GPU": "cpus_per_gpu", "SBATCH_MEM_PER_NODE": "mem_gb", "SBATCH_MEM_PER_CPU": "mem_per_cpu",
    "SBATCH_MEM_PER_GPU": "mem_per_gpu", "SBATCH_TIMELIMIT": "timeout_min", "SBATCH_NO_REQUEUE": "requeue",
}  # fmt: skip
# Those that only sbatch has a word for: SBATCH_GPU_BIND is gpu-bind.
ADDITIONAL = {
    name: name.removeprefix("SBATCH_").lower().replace("_", "-")
    for name in (
        "SBATCH_ACCTG_FREQ", "SBATCH_BATCH", "SBATCH_CONTAINER", "SBATCH_CONTAINER_ID", "SBATCH_CORE_SPEC", "SBATCH_DELAY_BOOT",
        "SBATCH_DISTRIBUTION", "SBATCH_EXCLUSIVE", "SBATCH_GPU_BIND", "SBATCH_GPU_FREQ", "SBATCH_GRES_FLAGS", "SBATCH_HINT",
        "SBATCH_MEM_BIND", "SBATCH_NETWORK", "SBATCH_OVERCOMMIT", "SBATCH_POWER", "SBATCH_PROFILE", "SBATCH_SPREAD_JOB",
        "SBATCH_THREAD_SPEC", "SBATCH_THREADS_PER_CORE", "SBATCH_TRES_BIND", "SBATCH_TRES_PER_TASK", "SBATCH_USE_MIN_NODES",
        "SBATCH_WCKEY",
    )
} | {"SBATCH_REQ_SWITCH": "switches"}  # fmt: skip
FLAGS = ("exclusive", "overcommit", "spread-job", "use-min-nodes")


def with_exported_options(options: SlurmOptions, words: Sequence[str]) -> SlurmOptions:
    """Return the options with what is exported for sbatch, and print in one line what was taken. `words` are those of the command.

    Raise UserError for a value that cannot be read.
    """
    found, line = exported_options(options, words, os.environ)
    if line:
        print(line, file=sys.stderr, flush=True)
    return found


def exported_options(options: SlurmOptions, words: Sequence[str], environment: Mapping[str, str]) -> tuple[SlurmOptions, str]:
    """Return the options with what `environment` has for sbatch, and a line that says what was taken; an empty one where there is none.

    Inside a job nothing is taken: what is there may be of the job and not of the person.
    """
    names = [name for name in sorted(environment) if name.startswith("SBATCH_") or name == "SLURM_CLUSTERS"]
    if "SLURM_JOB_ID" in environment:
        job = environment["SLURM_JOB_ID"]
        return options, f"Inside job {job} not taken: {', '.join(names)}; give hydra.launcher.* instead." if names else ""
    typed = overridden(words)
    changes: dict[str, Any] = {}
    additional = dict(options.additional_parameters)
    taken, beaten, left = [], [], []
    for name in names:
        value = environment[name]
        if name == "SBATCH_REQUEUE" or not (value or ADDITIONAL.get(name) in FLAGS or name == "SBATCH_NO_REQUEUE"):
            continue
        if name in OPTIONS:
            option = OPTIONS[name]
            winner = _winner(option, value, options, typed)
            other = next((f"{one}={changes[one]}" for one in rivals(option, value) if one in changes), None)
            if winner or other:
                beaten.append(f"{winner or other} wins over {name}={value}")
            else:
                changes[option] = _parsed(name, value)
                taken.append(f"{option}={str(changes[option]).lower() if option == 'requeue' else value} ({name})")
        elif name in ADDITIONAL:
            option = ADDITIONAL[name]
            if {option, option.replace("-", "_")} & additional.keys() or (option == "exclusive" and options.exclusive is not None):
                beaten.append(f"hydra.launcher wins over {name}={value}")
            else:
                additional[option] = True if option in FLAGS and value not in ("user", "mcs", "topo") else value
                taken.append(f"{option}{f'={value}' if value else ''} ({name})")
        else:
            left.append(name)
    if "SLURM_CONF" in environment:
        taken.append(f"SLURM_CONF={environment['SLURM_CONF']}")
    parts = [f"taken {', '.join(taken)}" if taken else "", *beaten]
    parts.append(f"not taken {', '.join(left)}, which the launcher sets itself" if left else "")
    line = f"From the environment: {'; '.join(filter(None, parts))}." if any(parts) else ""
    try:
        return replace(options, **changes, additional_parameters=additional), line
    except UserError as error:
        raise UserError(f"{error} It was exported: {', '.join(taken)}.") from error


def _winner(option: str, value: str, options: SlurmOptions, typed: set[str]) -> str | None:
    """Return the setting of the command that an exported option gives way to."""
    for one in rivals(option, value):
        given = getattr(options, one)
        if one != "requeue" and given is not None and one in rivals(one, given):
            return f"hydra.launcher.{one}={given}"
        if f"cluster.{one}" in typed:
            return f"cluster.{one}"
    return None


def _parsed(name: str, value: str) -> Any:
    """Return the value under submitit's units. Raise UserError where it cannot be read."""
    option = OPTIONS[name]
    if option == "requeue":
        return False
    if option == "timeout_min":
        return _minutes(value)
    if option == "mem_gb":
        found = re.fullmatch(r"(\d+)([KMGT]?)B?", value, re.IGNORECASE)
        if not found:
            raise UserError(f"{name}={value} is not a size of memory as sbatch takes it: 64G.")
        return int(found[1]) * 1024.0 ** ("KMGT".index(found[2].upper() or "M") - 2)
    kinds = {one.name: str(one.type) for one in fields(SlurmOptions)}
    if "int" in kinds[option] and not value.isdigit():
        raise UserError(f"{name}={value} is not a whole number.")
    return int(value) if "int" in kinds[option] else value


def _minutes(value: str) -> int:
    """Return the minutes of sbatch's `90`, `90:00`, `1:30:00`, `1-12`, `1-12:00`."""
    days, dash, clock = value.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdigit() for part in parts) or (dash and not days.isdigit()) or len(parts) > 3:
        raise UserError(f"SBATCH_TIMELIMIT={value} is not a time limit as sbatch takes it: minutes, HOURS:MINUTES:SECONDS or DAYS-HOURS.")
    numbers = [int(part) for part in parts]
    if dash:
        hours, minutes, seconds = [*numbers, 0, 0][:3]
    else:
        hours, minutes, seconds = [0, *numbers, 0][:3] if len(numbers) < 3 else numbers
    total = (int(days or 0) * 24 + hours) * 60 + minutes + seconds / 60
    if not total:
        raise UserError(f"SBATCH_TIMELIMIT={value} is no limit to sbatch, and a sweep is planned by one: give minutes, or unset it.")
    return math.ceil(total)
