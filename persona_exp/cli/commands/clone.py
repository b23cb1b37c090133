"""`persona-exp clone TRIAL SETTING=VALUE…`: add a trial to a sweep that is there already."""

import argparse
from pathlib import Path
from typing import Any

from persona_exp.cli.abbreviated_names import find_sweep, find_trial
from persona_exp.cli.commands.retry import submit_remaining
from persona_exp.cli.runs_folder import runs_folder
from persona_exp.trial.recorded_sweep import read_sweep


def add_commands(nouns: Any) -> None:
    """Add the verb `clone`."""
    clone = nouns.add_parser("clone", help="add a trial to a sweep: another's settings with some changed")
    clone.add_argument("trial", metavar="TRIAL", help="its id, or the beginning of it")
    clone.add_argument("settings", nargs="+", metavar="SETTING=VALUE", help="what it is to have otherwise, as in optim.lr=5e-5")
    clone.add_argument("--warm", action="store_true", help="begin with the weights of its adapter, which must be finished")
    clone.add_argument("--sweep", help="the sweep that it is added to, where several have the trial")
    clone.add_argument("--submit", action="store_true", help="submit it to Slurm at once where no job of the sweep would take it up")
    clone.add_argument("--json", action="store_true", help="print JSON")
    clone.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> tuple[int, Any]:
    from persona_exp.launch.clone_trial import clone_trial

    runs = runs_folder()
    trial = find_trial(runs, arguments.trial)
    sweep = find_sweep(runs, arguments.sweep) if arguments.sweep else None
    name, added = clone_trial(runs, trial, arguments.settings, warm=arguments.warm, sweep=sweep)
    answer = {"trial_id": added.trial_id, "sweep": name, "origin": trial, "overrides": added.overrides}
    if arguments.submit:
        answer["submitted"] = submit_remaining(runs, [name])
    if not arguments.json:
        _print(runs, answer)
    return 0, answer


def _print(runs: Path, answer: dict[str, Any]) -> None:
    print(f"Trial {answer['trial_id']} is added to {answer['sweep']}.")
    for outcome in answer.get("submitted", {}).values():
        print(f"{answer['sweep']}: {outcome['told']}.")
    if not answer.get("submitted"):
        print("Whatever is at work on the sweep takes it up; where nothing is, this goes on:")
        print(f"  {read_sweep(runs, answer['sweep']).command}")
