"""`persona-exp run`, and run.py: one trial, or with -m a sweep of them."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.cli.refusal import print_refusal, refusal
from persona_exp.errors import UserError
from persona_exp.lossy_output import outlive_full_disk
from persona_exp.process_signals import exit_resumable_on_signal
from persona_exp.study_folder import asked_study, in_study, split_config_dir
from persona_exp.typed_command import typed_command

if TYPE_CHECKING:
    from omegaconf import DictConfig

# Our own flags; Hydra's command line knows its own only.
DRY_RUN, DETACH = "--dry-run", "--detach"

# Hydra takes one of these, and answers two with a traceback.
MODES = ("-m", "--multirun", "-r", "--run", "-c", "--cfg", "-i", "--info", "-sc", "--shell-completion")


def add_commands(nouns: Any) -> None:
    """Add the command to --help. What follows `run` is Hydra's to read, so `main` is called without this parser."""
    run = nouns.add_parser("run", add_help=False, help="train and evaluate one trial, or with -m a sweep; `persona-exp run --help`")
    run.add_argument("overrides", nargs=argparse.REMAINDER, metavar="KEY=VALUE")


def run_as(program: str, arguments: list[str]) -> int:
    """Compose the trial or sweep that `arguments` ask for and run it; the exit code. `program` is what a person typed in front of them."""
    sys.argv[:] = [program, *arguments]
    return main()


def main() -> int:
    """Compose the command line's trial or sweep and run it; the exit code."""
    outlive_full_disk()
    exit_resumable_on_signal()
    try:
        import hydra
        from hydra.core.hydra_config import HydraConfig
        from yaml import YAMLError
    except ModuleNotFoundError as missing:
        return print_refusal(f"{missing.name} is not installed here: run `make setup`, then .venv/bin/python run.py.")
    from persona_exp.config.compose import error_sentence, register_schema
    from persona_exp.config.secret_values import refuse_secrets
    from persona_exp.project_folders import CONF

    register_schema()
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    command = typed_command()
    composed: list[DictConfig] = []
    launchers: list[str] = []
    sweeps: list[str | None] = []
    given: list[dict[str, Any]] = []

    def note(config: "DictConfig") -> None:
        composed.append(config)
        choices = HydraConfig.get().runtime.choices
        launchers.append(str(choices.get("hydra/launcher")))
        sweeps.append(choices.get("sweeps"))
        given.append({str(name): value for name, value in HydraConfig.get().launcher.items() if name != "_target_"})

    try:
        refuse_secrets(sys.argv[1:], "The command")
        if DETACH in sys.argv[1:]:
            return _detach(sys.argv[1:])
        # Hydra would print its own errors over several lines; raised, they become one sentence here.
        os.environ["HYDRA_FULL_ERROR"] = "1"
        conf, others = split_config_dir(sys.argv[1:])
        sys.argv[1:] = [*([f"--config-dir={conf}"] if conf else []), *_own_flags(others)]
        with in_study(asked_study(conf)):
            hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")(note)()
            # Empty after -m, --help and --cfg, which have done their work by now.
            if not composed:
                return 0
            if sweeps[0]:
                raise UserError(f"+sweeps={sweeps[0]} is a sweep of many trials: add -m, and --dry-run to see how many.")
            if launchers[0] == "slurm":
                raise UserError("hydra/launcher=slurm submits sweeps: add -m, or run one trial in a job with sbatch slurm/train.sbatch.")
            from persona_exp.launch.launch_trial import launch_trial
            from persona_exp.launch.launcher_options import LocalOptions, parse_options
            from persona_exp.launch.notification import as_given, notified

            options = parse_options(LocalOptions, given[0])
            return notified(as_given(composed[0]), lambda: launch_trial(composed[0], command=command, options=options))
    except (UserError, OSError, hydra.errors.HydraException, YAMLError) as error:
        # Some of Hydra's are an OSError too.
        sentence = error_sentence(error) if isinstance(error, hydra.errors.HydraException | YAMLError) else refusal(error)
        if wants_traceback or sentence is None:
            raise
        return print_refusal(sentence)
    except KeyboardInterrupt:
        print("Stopped; the same command goes on.", file=sys.stderr)
        return 75


def _detach(arguments: list[str]) -> int:
    """Run the command that the other arguments make without this terminal. Raises UserError where they run nothing."""
    from persona_exp.launch.detached_process import detach

    others = [one for one in arguments if one != DETACH]
    shown = [one for one in others if one.split("=")[0] in (*MODES[4:], DRY_RUN, "-h", "--help", "--hydra-help", "--version")]
    if shown:
        raise UserError(f"--detach is for what runs, and {shown[0]} runs nothing: leave one of them out.")
    conf, settings = split_config_dir(others)
    script = Path(sys.argv[0])
    # `-P`: a module in the folder where this is typed is none of ours.
    program = [str(script.absolute())] if script.name == "run.py" else ["-P", "-m", "persona_exp.cli.main", "run"]
    with in_study(asked_study(conf)):
        named = next((one.removeprefix("runs=") for one in settings if one.startswith("runs=")), None)
        runs = named or os.environ.get("PERSONA_EXP_RUNS") or "runs"
        return detach([sys.executable, *program, *others], Path(runs).expanduser())


def _own_flags(arguments: list[str]) -> list[str]:
    """The command's words as Hydra reads them, --dry-run as the setting that it stands for.

    Raises UserError where two modes are asked for, or where a word cannot be read.
    """
    from persona_exp.config.typed_overrides import as_typed

    modes = list(dict.fromkeys(argument.split("=")[0] for argument in arguments if argument.split("=")[0] in MODES))
    if len(modes) > 1:
        raise UserError(f"{' and '.join(modes)} do not go together: give one of them alone.")
    dry_run = DRY_RUN in arguments
    arguments = as_typed([argument for argument in arguments if argument != DRY_RUN])
    if dry_run and set(modes) & set(MODES[4:]):
        raise UserError(f"{DRY_RUN} and {modes[0]} do not go together: give one of them alone.")
    return [*arguments, *(["hydra.launcher.dry_run=true"] if dry_run else [])]
