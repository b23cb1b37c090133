"""The text of an sbatch script, written by submitit."""

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from persona_exp.config.secret_values import assignments, refuse_secrets
from persona_exp.errors import UserError
from persona_exp.launch.slurm.slurm_command import runs_on
from persona_exp.launch.slurm.verified_start import CHECK, NO_COMPILED_FILES, VARIABLE

# Options that submitit spells otherwise inside than outside.
_NAMES = {"name": "job_name", "timeout_min": "time", "tasks_per_node": "ntasks_per_node"}

# sbatch options that submitit has no word for.
_ADDITIONAL = ("reservation", "clusters")

# Written by `script` itself.
_OURS = ("array_parallelism", "dependency", "map_count", "command", "folder", "job_name", "name")

# Stands for a per cent sign; in no path.
_VEILED = "\0"

# Since Slurm 22.05, srun does not take the number of cores from its job.
_CORES = '[ -z "${SLURM_CPUS_PER_TASK:-}" ] || export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"'

# TERM comes to the shell too (scancel, the end of a preemption's grace, the time limit). Without a trap it dies at once, and its exit
# code with it; `trap ''` would make the worker deaf. With one, it waits for the worker and exits as the worker did.
_STAY = "trap : TERM INT USR1 USR2 CONT"


def script(
    command: str,
    *,
    folder: Path,
    name: str,
    options: Mapping[str, Any],
    array: tuple[int, int] | None,
    parallelism: int,
    dependency: str | None,
    environment: Mapping[str, str],
) -> str:
    """Return an sbatch script for the shell command `command`, alone or as the tasks `array` (first and last index, `parallelism` at once).

    `options` are under submitit's names, None meaning not given; Slurm's own output goes to `folder`, which must be there when the job
    starts; `environment` is exported to the command. The worker's exit code is the job's. Raise UserError for an unknown option
    and for a secret among them.
    """
    given = {_NAMES.get(key, key): value for key, value in options.items() if value is not None and key not in _OURS}
    _check(given)
    if given.get("clusters") and runs_on(given["clusters"]):
        # A compute node may know no cluster but its own.
        del given["clusters"]
    refuse_secrets(assignments(given), "A setting of the job (hydra.launcher or cluster, as setup)")
    additional: dict[str, Any] = {"requeue" if given.pop("requeue", True) else "no-requeue": True}
    additional |= {key: given.pop(key) for key in _ADDITIONAL if key in given}
    additional |= dict(given.pop("additional_parameters", None) or {})
    if re.search(r"[\\\n\r]", str(folder.absolute())):
        raise UserError(
            f"Slurm takes no output file below {str(folder.absolute())!r}: give a PERSONA_EXP_RUNS without backslash and line break."
        )
    # submitit rewrites patterns such as %j, and those in the folder's own name are none: they come to it veiled.
    logs = Path(str(folder.absolute()).replace("%", _VEILED))
    if "mem_gb" in given:
        given["mem"] = _memory(given.pop("mem_gb"))
    if array is not None:
        first, last = array
        additional["array"] = f"{first}-{last}%{max(1, min(parallelism, last - first + 1))}"
        given["map_count"] = last - first + 1
    if given.get("use_srun", True):
        # srun's own options: what it writes, it appends, so that a requeued job keeps the output of its earlier runs.
        given["srun_args"] = ["--open-mode=append", *given.get("srun_args", ())]
    else:
        command, additional["signal"] = _forwarding(command), f"B:USR2@{given.get('signal_delay_s', 90)}"
    teardown = given.pop("teardown", None)
    if teardown:
        command, given["teardown"] = f"{command}\nstatus=$?", [*teardown, "exit $status"]
    exports = [f"export {key}={shlex.quote(value)}" for key, value in sorted(environment.items())]
    setup = [*(given.pop("setup", None) or ()), _CORES, *exports, *([_STAY] if given.get("use_srun", True) else [])]
    given = {"wckey": None, **given, "additional_parameters": additional}
    text = _submitit()._make_sbatch_string(command=command, folder=logs, job_name=name, dependency=dependency, setup=setup, **given)
    # `%%` is a plain per cent sign in the names of Slurm's output files.
    return f"{text.rstrip()}\n".replace(_VEILED, "%%")


def in_code_snapshot(code: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a job that runs in the code snapshot `code`, whatever becomes of the working copy."""
    path = f"export PYTHONPATH={shlex.quote(str(code))}${{PYTHONPATH:+:$PYTHONPATH}}"
    additional = {**options.get("additional_parameters", {}), "chdir": str(code)}
    check = [f"export {name}={shlex.quote(value)}" for name, value in {**NO_COMPILED_FILES, VARIABLE: CHECK}.items()]
    return {**options, "setup": [*options.get("setup", []), path, *check], "additional_parameters": additional}


def _check(given: Mapping[str, Any]) -> None:
    known = {*_submitit()._get_default_parameters(), *_ADDITIONAL, "mem_gb", "requeue"}
    unknown = sorted(set(given) - known)
    if unknown:
        raise UserError(
            f"hydra.launcher.{unknown[0]} is not an option of submitit; give options that only sbatch has as "
            f"hydra.launcher.additional_parameters."
        )


def _submitit() -> Any:
    # Without this, its import sets up logging anew, which closes every handler of the process and the streams that some of them hold.
    os.environ.setdefault("SUBMITIT_LOG_LEVEL", "NOCONFIG")
    from submitit.slurm import slurm

    return slurm


def _memory(gb: float) -> str:
    return f"{int(gb)}GB" if gb == int(gb) else f"{int(gb * 1024)}MB"


def _forwarding(command: str) -> str:
    """Return lines that run `command` without srun: signals come to the shell alone, which passes them on and waits for a saving worker."""
    return "\n".join(
        [
            f"{command} &",
            "worker=$!",
            "trap 'kill -USR2 $worker 2>/dev/null' USR2",
            "trap 'kill -TERM $worker 2>/dev/null' TERM",
            "wait $worker",
            "status=$?",
            'while [ "$status" -gt 128 ] && kill -0 $worker 2>/dev/null; do wait $worker; status=$?; done',
            "(exit $status)",
        ]
    )
