"""`persona-exp retry [SWEEP|TRIAL…]`: let trials that failed, were cancelled or are held try again."""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.cli.find import find, runs_folder
from persona_exp.cli.quantities import several
from persona_exp.cli.standing import Standing, judged_by_workers, of_trial, standings
from persona_exp.cli.waiting import CAUSES
from persona_exp.errors import UserError
from persona_exp.trial.directory import trial_directory
from persona_exp.trial.reader import read_hold, read_trial, sweep_names
from persona_exp.trial.record import attempt_files
from persona_exp.trial.state import ASIDE, State, read_state

if TYPE_CHECKING:
    from persona_exp.launch.sweeps.keeper import Tended

SHORT_CAUSES = {"oom": "out_of_memory", "disk": "disk_full", "timeout": "time_limit", "node": "node_failed"}


def add_commands(nouns: Any) -> None:
    """Add the verb `retry`."""
    retry = nouns.add_parser("retry", help="let what failed, was cancelled or is held try again")
    retry.add_argument("names", nargs="*", metavar="SWEEP|TRIAL", help="names or ids, or the beginning of them (default: every sweep)")
    retry.add_argument("--failed", action="store_true", help="only what failed, not what was cancelled")
    retry.add_argument("--cause", help="only what failed for this: oom (out_of_memory), disk_full, killed, ValueError, …")
    retry.add_argument("--from-scratch", action="store_true", help="set their checkpoints aside, so that they begin at step 0")
    retry.add_argument("--submit", action="store_true", help="submit what is left of the sweeps to Slurm at once")
    retry.add_argument("--json", action="store_true", help="print JSON")
    retry.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> tuple[int, Any]:
    runs = runs_folder()
    if not arguments.names and not (arguments.failed or arguments.cause):
        raise UserError("Say what to retry: sweeps or trials, or --failed or --cause for those of every sweep.")
    named = [find(runs, name) for name in arguments.names]
    sweeps = list(dict.fromkeys(sweep for sweep, _ in named if sweep)) if named else sweep_names(runs)
    trials = list(dict.fromkeys(trial for _, trial in named if trial))
    cause = SHORT_CAUSES.get(arguments.cause, arguments.cause)
    answer = retry(runs, sweeps, trials, failed_alone=arguments.failed, cause=cause, from_scratch=arguments.from_scratch)
    if arguments.submit:
        answer["submitted"] = _submit(runs, answer["sweeps"])
    if not arguments.json:
        _print(answer, arguments.submit)
    return 0, answer


def retry(
    runs: Path, sweeps: Sequence[str], trials: Sequence[str], *, failed_alone: bool, cause: str | None, from_scratch: bool
) -> dict[str, Any]:
    """Allow another try; what was allowed and which commands go on, as plain JSON values. UserError: a trial named is at work or done."""
    from persona_exp.launch.judgement import hold
    from persona_exp.launch.judgement.retry import allow

    places = standings(runs, sweeps)
    named = [_checked(judged_by_workers(runs, read_state(runs / "trials" / trial))) for trial in trials]
    found = {state.trial_id: state for state in [*(one for place in places for one in place.states), *named]}
    if cause is not None:
        _refuse_unknown(cause, found.values())
    chosen = {one: state for one, state in found.items() if _meant(state, one in trials, failed_alone, cause)}
    for trial_id, state in chosen.items():
        directory = trial_directory(runs, trial_id)
        if state.record.get("status") == "failed" or state.status == "failed":
            allow(directory)
        (directory.path / "cancel.json").unlink(missing_ok=True)
        if from_scratch:
            _set_aside(directory.path)
    concerned = _concerned(runs, places, chosen)
    held = [name for name in dict.fromkeys([*sweeps, *concerned]) if read_hold(runs, name)]
    lifted = [name for name in held if name in concerned or name in sweeps]
    for name in lifted:
        hold.remove(runs / "sweeps" / name)
    going_on = list(dict.fromkeys([*concerned, *lifted]))
    commands = [place.command for place in standings(runs, going_on)]
    singles = [one for one in chosen if not of_trial(runs, one)] if trials else []
    commands += [str(read_trial(runs, one).provenance.get("command")) for one in singles]
    return {
        "allowed": list(chosen),
        "from_scratch": list(chosen) if from_scratch else [],
        "holds_lifted": lifted,
        "sweeps": going_on,
        "commands": list(dict.fromkeys(commands)),
    }


def _checked(state: State) -> State:
    if state.status == "running":
        raise UserError(f"Trial {state.trial_id} is running on {state.host}; `persona-exp cancel {state.trial_id}` stops it.")
    if state.status in ("finished", "pruned"):
        raise UserError(f"Trial {state.trial_id} is {state.status}: there is nothing to retry.")
    return state


def _refuse_unknown(cause: str, states: Iterable[State]) -> None:
    """UserError: nothing fails for this. A cause without a word of its own is an exception's class."""
    seen = {str(state.record["cause"]) for state in states if state.record.get("cause")}
    if cause not in CAUSES and cause not in seen and not cause[:1].isupper():
        known = sorted({*CAUSES, *seen})
        raise UserError(f"There is no cause {cause}: choose one of {', '.join(known)}, or an exception's class such as ValueError.")


def _meant(state: State, named: bool, failed_alone: bool, cause: str | None) -> bool:
    """Whether a trial is among those to be retried; one that was named itself always is, unless its cause was asked for."""
    if cause is not None:
        return state.status == "failed" and state.cause == cause
    if failed_alone:
        return state.status == "failed"
    return named or state.status in ("failed", "cancelled")


def _set_aside(folder: Path) -> None:
    """Move every attempt's checkpoints out of sight of the next; what they recorded as saved counts no more."""
    for path in attempt_files(folder):
        attempt = path.with_suffix("")
        aside = attempt / ASIDE
        if (attempt / "checkpoints").is_dir() and not aside.exists():
            (attempt / "checkpoints").rename(aside)
        else:
            aside.mkdir(parents=True, exist_ok=True)
            if (attempt / "checkpoints").is_dir():
                raise UserError(f"{aside} is in the way of setting {attempt / 'checkpoints'} aside; remove one of them.")


def _concerned(runs: Path, places: Sequence[Standing], chosen: Iterable[str]) -> list[str]:
    """The sweeps, of those named or of all, that the chosen trials belong to."""
    wanted = set(chosen)
    inside = [place.folder.name for place in places if wanted & {state.trial_id for state in place.states}]
    told = {state.trial_id for place in places for state in place.states}
    return list(dict.fromkeys([*inside, *(name for one in wanted - told for name in of_trial(runs, one))]))


def _submit(runs: Path, sweeps: Sequence[str]) -> dict[str, dict[str, str]]:
    """Have the keeper's work done now for those sweeps that were given to Slurm: what came of it, by sweep."""
    from persona_exp.launch.sweeps.submission import submissions

    given = [name for name in sweeps if any(one.launcher == "slurm" for one in submissions(runs / "sweeps" / name))]
    found = {name: _tended(runs / "sweeps" / name) for name in given}
    return {name: {"what": one.what, "why": one.why, "told": _told(one)} for name, one in found.items()}


def _tended(sweep_folder: Path) -> "Tended":
    """One look of the keeper; a second one where nobody else would find out which trials without a job still live."""
    from persona_exp.launch.judgement.observer import LEASE_SECONDS, Observer
    from persona_exp.launch.sweeps.keeper import lease, tend
    from persona_exp.launch.sweeps.submission import latest
    from persona_exp.launch.sweeps.survey import settle

    last = latest(sweep_folder)
    observer = Observer(lease(last) if last else LEASE_SECONDS)
    one = tend(sweep_folder, observer)
    if one.what != "going" or not one.doubtful:
        return one
    settle(sweep_folder, observer)
    return tend(sweep_folder, observer)


def _told(one: "Tended") -> str:
    """What the keeper found or did, for a person who had it look."""
    told = _TENDED[one.what] + (f" ({one.why})" if one.why else "")
    if one.what != "going" or one.why:
        return told
    if one.no_room:
        return f"nothing was submitted (the site had no room for {several(one.no_room, 'trial')}: they follow when other jobs have ended)"
    if one.doubtful:
        return f"nothing was submitted (whether {several(one.doubtful, 'trial')} without a job still run cannot be told: try again later)"
    if one.jobless == one.going:
        return f"nothing was submitted (no job of it is in the queue, but {several(one.going, 'trial')} are running outside its jobs)"
    return told


def _print(answer: dict[str, Any], submit: bool) -> None:
    for name in answer["holds_lifted"]:
        print(f"{name} is held no more.")
    if not answer["allowed"] and not answer["holds_lifted"]:
        print("Nothing was left to retry.")
        return
    if answer["allowed"]:
        scratch = ", from step 0" if answer["from_scratch"] else ""
        print(f"{several(len(answer['allowed']), 'trial')} may try again{scratch}: {_few(answer['allowed'])}.")
    submitted = answer.get("submitted", {})
    for name, tended in submitted.items():
        print(f"{name}: {tended['told']}.")
    if not submit or len(submitted) < len(answer["sweeps"]) or not answer["sweeps"]:
        print("Whatever is at work on a sweep takes them up; where nothing is, this goes on:" if answer["sweeps"] else "This goes on:")
        for command in answer["commands"]:
            print(f"  {command}")


_TENDED = {
    "submitted": "submitted what is left",
    "going": "jobs that will take them up are in the queue",
    "unknown": "nothing was submitted",
    "held": "held again",
    "given up": "nothing was submitted",
    "ended": "nothing is left to submit",
}


def _few(names: Sequence[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
