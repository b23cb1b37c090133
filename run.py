#!/usr/bin/env python3
"""One trial, or with -m a sweep of them. `python run.py --help` says what can be set."""

import os
import shlex
import sys

try:
    import hydra
except ModuleNotFoundError as missing:
    print(f"error: {missing.name} is not installed here: run `make setup`, then .venv/bin/python run.py.", file=sys.stderr)
    sys.exit(2)
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from persona_exp.config.compose import register_schema, resolve, sentence
from persona_exp.errors import UserError
from persona_exp.process import leave_with_75

register_schema()

# Our own flag; Hydra's command line knows its own only.
DRY_RUN = "--dry-run"

# Hydra takes one of these, and answers two with a traceback.
MODES = ("-m", "--multirun", "-r", "--run", "-c", "--cfg", "-i", "--info", "-sc", "--shell-completion")


def main() -> int:
    """Compose the command line's trial or sweep and run it; the exit code."""
    leave_with_75()
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    # Hydra would print its own errors over several lines; raised, they become one sentence here.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    command = shlex.join(["python", "run.py", *sys.argv[1:]])
    composed: list[DictConfig] = []
    launchers: list[str] = []

    def note(config: DictConfig) -> None:
        composed.append(config)
        launchers.append(str(HydraConfig.get().runtime.choices.get("hydra/launcher")))

    try:
        sys.argv[1:] = _own_flags(sys.argv[1:])
        hydra.main(config_path="conf", config_name="config", version_base="1.3")(note)()
        # Empty after -m, --help and --cfg, which have done their work by now.
        if not composed:
            return 0
        if launchers[0] == "slurm":
            raise UserError("hydra/launcher=slurm submits sweeps: add -m, or run one trial in a job with sbatch slurm/train.sbatch.")
        from persona_exp.launch.single import run_single

        return run_single(resolve(composed[0]), command=command)
    except BrokenPipeError:
        # Whoever read our output (head, less) has seen enough. What is left in the buffer must not be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (UserError, hydra.errors.HydraException) as error:
        if wants_traceback:
            raise
        print(f"error: {error if isinstance(error, UserError) else sentence(error)}", file=sys.stderr)
        return 2
    except OSError as error:
        if wants_traceback or error.filename is None:
            raise
        print(f"error: {error.filename} cannot be used: {error.strerror}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped; the same command goes on.", file=sys.stderr)
        return 75


def _own_flags(arguments: list[str]) -> list[str]:
    """--dry-run as the setting that it stands for. Raises UserError where there is no sweep to submit, or where two modes are asked for."""
    modes = list(dict.fromkeys(argument.split("=")[0] for argument in arguments if argument.split("=")[0] in MODES))
    if len(modes) > 1:
        raise UserError(f"{' and '.join(modes)} do not go together: give one of them alone.")
    if DRY_RUN not in arguments:
        return arguments
    if not {"-m", "--multirun"} & set(arguments) or "hydra/launcher=slurm" not in arguments:
        raise UserError("--dry-run shows what a sweep would submit to Slurm: add -m and hydra/launcher=slurm.")
    return [*(argument for argument in arguments if argument != DRY_RUN), "hydra.launcher.dry_run=true"]


if __name__ == "__main__":
    sys.exit(main())
