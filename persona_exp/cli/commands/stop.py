"""`persona-exp stop TRIAL`: end a running trial at its next step, and publish what it has learnt by then."""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from persona_exp import atomic_files
from persona_exp.cli.abbreviated_names import find_trial
from persona_exp.cli.commands.cancel import person
from persona_exp.cli.runs_folder import runs_folder
from persona_exp.errors import UserError
from persona_exp.trial.attempt_claim_and_heartbeat import utc_now
from persona_exp.trial.record_files import read_json
from persona_exp.trial.trial_directory import TrialDirectory, trial_directory
from persona_exp.trial.trial_status import read_status, stopped_as

POLL_SECONDS = 0.2
# Phases that come after the last step.
TRAINED = ("saving", "evaluating")
# A file that code has which looks for the wish to stop.
KNOWS_STOPPING = "persona_exp/trial/stopped_trial.py"


def add_commands(nouns: Any) -> None:
    """Add the verb `stop`."""
    stop = nouns.add_parser("stop", help="end a running trial at its next step and publish what it has learnt; `retry` takes it back")
    stop.add_argument("trial", metavar="TRIAL", help="its id, or the beginning of it")
    stop.add_argument("--wait", type=float, default=30.0, metavar="SECONDS", help="wait so long for its next step (default: 30)")
    stop.add_argument("--json", action="store_true", help="print JSON")
    stop.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> tuple[int, Any]:
    runs = runs_folder()
    answer = stop(runs, find_trial(runs, arguments.trial), wait_seconds=arguments.wait)
    if not arguments.json:
        _print(answer)
    return 0, answer


def stop(runs: Path, trial_id: str, *, wait_seconds: float) -> dict[str, Any]:
    """Ask the trial to end, wait a while for it, and return what came of that: `step` and `successor` are None where it has not ended yet.

    Raise UserError where it does not run, or cannot end before its last step.
    """
    from persona_exp.launch.clone_trial import sweeps_of

    directory = trial_directory(runs, trial_id)
    _refuse(directory)
    request = {"at": utc_now(), "by": person(), "sweeps": sweeps_of(runs, trial_id)}
    atomic_files.create_text(directory.stop, json.dumps(request) + "\n")
    until = time.monotonic() + wait_seconds
    while (successor := stopped_as(directory.path)) is None and time.monotonic() < until:
        if read_status(directory.path).status != "running":
            break
        time.sleep(POLL_SECONDS)
    step = json.loads(directory.cancelled.read_text(encoding="utf-8"))["step"] if successor else None
    return {"trial_id": trial_id, "step": step, "successor": successor, "status": read_status(directory.path).status}


def _refuse(directory: TrialDirectory) -> None:
    state = read_status(directory.path)
    if state.status != "running":
        raise UserError(
            f"Trial {state.trial_id} is {state.status}, and only what runs can be stopped: `persona-exp why {state.trial_id}` tells more."
        )
    seal = directory.seals / str(state.record.get("seal"))
    facts = read_json(seal) if seal.is_file() else {}
    if facts.get("engine") != "fused" or facts.get("method") == "none":
        what = "trains nothing" if facts.get("method") == "none" else f"has engine={facts.get('engine')}, which ends at its last step alone"
        raise UserError(f"Trial {state.trial_id} {what}: `persona-exp cancel {state.trial_id}` ends it without a result.")
    code = directory.runs / "code" / str(facts.get("code_folder"))
    if code.is_dir() and not (code / KNOWS_STOPPING).is_file():
        raise UserError(f"Trial {state.trial_id} runs code from before there was `stop`: `persona-exp cancel {state.trial_id}` ends it.")
    if state.phase in TRAINED or (state.step is not None and state.max_steps is not None and state.step >= state.max_steps):
        raise UserError(f"Trial {state.trial_id} has taken its last step: it is finished in a moment.")


def _print(answer: dict[str, Any]) -> None:
    trial_id = answer["trial_id"]
    if answer["successor"]:
        print(f"Trial {trial_id} was stopped at step {answer['step']}; what it had learnt by then is trial {answer['successor']}.")
        print(f"`persona-exp retry {trial_id}` takes that back: it goes on from there.")
    elif answer["status"] == "running":
        print(f"Trial {trial_id} ends at its next step; `persona-exp why {trial_id}` names the trial that it is then.")
    else:
        print(f"Trial {trial_id} is {answer['status']}; where that is not its end, it stops when it goes on.")
