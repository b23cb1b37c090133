"""The options of sbatch that the launcher keeps for itself: where a person gives one all the same, what to give instead."""

from collections.abc import Iterable, Mapping

from persona_exp.errors import UserError

_ALONE = "leave it out: a worker is one process on one node"
_OUTPUT = "leave it out: the output of jobs is in runs/sweeps/NAME/submissions"
_CALL = "leave it out: the launcher calls sbatch in its own way"

KEPT = {
    "job-name": "give hydra.launcher.name, which is put in front of the name by which the sweep finds its jobs",
    "comment": "give hydra.launcher.comment, which is put in front of what the sweep reads there",
    "array": "give hydra.launcher.array_parallelism",
    "time": "give hydra.launcher.timeout_min",
    "mem": "give hydra.launcher.mem_gb",
    "gpus": "give hydra.launcher.gpus_per_node",
    "signal": "give hydra.launcher.signal_delay_s",
    "no-requeue": "give hydra.launcher.requeue=false",
    "dependency": "leave it out: the jobs of a sweep wait for one another",
    "kill-on-invalid-dep": "leave it out: the jobs of a sweep wait for one another",
    "export": "leave it out, and set variables in hydra.launcher.setup",
    "export-file": "leave it out, and set variables in hydra.launcher.setup",
    "chdir": "leave it out: jobs run in the sealed code",
    "output": _OUTPUT, "error": _OUTPUT, "input": _OUTPUT, "open-mode": _OUTPUT,
    "nodes": _ALONE, "ntasks": _ALONE, "ntasks-per-node": _ALONE, "ntasks-per-core": _ALONE, "ntasks-per-gpu": _ALONE,
    "ntasks-per-socket": _ALONE,
    "parsable": _CALL, "wrap": _CALL, "wait": _CALL, "test-only": _CALL, "help": _CALL, "usage": _CALL, "version": _CALL,
    "ignore-pbs": _CALL, "get-user-env": _CALL,
}  # fmt: skip


# The same of srun, which a worker is started with.
KEPT_OF_SRUN = ("output", "error", "input", "open-mode", "export", "export-file", "chdir", "nodes", "ntasks")


def check_additional(names: Iterable[str], of_the_launcher: Iterable[str]) -> None:
    """Raise UserError where one of these additional parameters is an option that the launcher keeps, or one of its own.

    sbatch takes an option cut short for the one that it begins, and so does this.
    """
    own = {name.replace("_", "-"): f"give hydra.launcher.{name}" for name in of_the_launcher}
    for name in names:
        _refuse(f"hydra.launcher.additional_parameters.{name}", name, {**KEPT, **own})


def check_srun_arguments(arguments: Iterable[str]) -> None:
    """Raise UserError where one of these is an option of srun that the launcher keeps."""
    for argument in arguments:
        if argument.startswith("--"):
            _refuse(f"hydra.launcher.srun_args={argument}", argument.partition("=")[0], {name: KEPT[name] for name in KEPT_OF_SRUN})


def _refuse(setting: str, name: str, instead: Mapping[str, str]) -> None:
    plain = name.lstrip("-").replace("_", "-")
    kept = plain if plain in instead else next((one for one in instead if plain and one.startswith(plain)), None)
    if kept is not None:
        what = "an option" if kept == plain else f"short for {kept}, an option"
        raise UserError(f"{setting} is {what} that the launcher sets itself; {instead[kept]}.")
