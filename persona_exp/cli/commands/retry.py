"""`persona-exp retry [SWEEP|TRIAL…]`: let trials that failed, were cancelled or are held try again."""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp import atomic_files
from persona_exp.cli.abbreviated_names import find_sweep_or_trial
from persona_exp.cli.runs_folder import runs_folder
from persona_exp.cli.sweep_status import SweepStatus, sweep_statuses, sweeps_of_trial, with_retry_decision
from persona_exp.cli.text.causes_and_remedies import CAUSES
from persona_exp.counted_noun import counted
from persona_exp.errors import UserError
from persona_exp.trial import forgotten_sweep
from persona_exp.trial.attempt_records import attempt_files
from persona_exp.trial.forgotten_sweep import known_and_forgotten
from persona_exp.trial.recorded_hold import read_hold
from persona_exp.trial.runs_reader import read_trial
from persona_exp.trial.trial_directory import trial_directory
from persona_exp.trial.trial_status import CHECKPOINTS_ASIDE, TrialStatus, read_status

if TYPE_CHECKING:
    from persona_exp.launch.sweeps.resubmit_lost import KeeperRound

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
    named = [find_sweep_or_trial(runs, name) for name in arguments.names]
    sweeps = list(dict.fromkeys(sweep for sweep, _ in named if sweep)) if named else known_and_forgotten(runs)[0]
    trials = list(dict.fromkeys(trial for _, trial in named if trial))
    cause = SHORT_CAUSES.get(arguments.cause, arguments.cause)
    answer = retry(runs, sweeps, trials, failed_alone=arguments.failed, cause=cause, from_scratch=arguments.from_scratch)
    if arguments.submit:
        answer["submitted"] = submit_remaining(runs, answer["sweeps"])
    if not arguments.json:
        _print(answer, arguments.submit)
    return 0, answer


def retry(
    runs: Path, sweeps: Sequence[str], trials: Sequence[str], *, failed_alone: bool, cause: str | None, from_scratch: bool
) -> dict[str, Any]:
    """Allow another try; return what was allowed and the commands that go on. Raise UserError where a trial named is running or done."""
    from persona_exp.launch.recovery import sweep_hold
    from persona_exp.launch.recovery.retry_decision import allow_retry

    statuses = sweep_statuses(runs, sweeps)
    named = [_checked(with_retry_decision(runs, read_status(runs / "trials" / trial))) for trial in trials]
    found = {state.trial_id: state for state in [*(one for sweep in statuses for one in sweep.states), *named]}
    if cause is not None:
        _refuse_unknown(cause, found.values())
    chosen = {one: state for one, state in found.items() if _chosen(state, one in trials, failed_alone, cause)}
    for trial_id, state in chosen.items():
        directory = trial_directory(runs, trial_id)
        if state.record.get("status") == "failed" or state.status == "failed":
            allow_retry(directory)
        directory.stop.unlink(missing_ok=True)
        directory.cancelled.unlink(missing_ok=True)
        if from_scratch:
            _set_aside(directory.path)
    concerned = _concerned(runs, statuses, chosen)
    held = [name for name in dict.fromkeys([*sweeps, *concerned]) if read_hold(runs, name)]
    lifted = [name for name in held if name in concerned or name in sweeps]
    for name in lifted:
        sweep_hold.remove(runs / "sweeps" / name)
    going_on = list(dict.fromkeys([*concerned, *lifted]))
    for name in {*going_on, *sweeps}:
        # What goes on is wanted again, and `clean` must not offer it.
        forgotten_sweep.take_back(runs / "sweeps" / name)
    commands = [sweep.command for sweep in sweep_statuses(runs, going_on)]
    singles = [one for one in chosen if not sweeps_of_trial(runs, one)] if trials else []
    commands += [str(read_trial(runs, one).provenance.get("command")) for one in singles]
    return {
        "allowed": list(chosen),
        "from_scratch": list(chosen) if from_scratch else [],
        "holds_lifted": lifted,
        "sweeps": going_on,
        "commands": list(dict.fromkeys(commands)),
    }


def _checked(state: TrialStatus) -> TrialStatus:
    if state.status == "running":
        raise UserError(f"Trial {state.trial_id} is running on {state.host}; `persona-exp cancel {state.trial_id}` stops it.")
    if state.status in ("finished", "pruned"):
        raise UserError(f"Trial {state.trial_id} is {state.status}: there is nothing to retry.")
    return state


def _refuse_unknown(cause: str, states: Iterable[TrialStatus]) -> None:
    """Raise UserError where nothing fails for this. A cause without a word of its own is an exception's class."""
    seen = {str(state.record["cause"]) for state in states if state.record.get("cause")}
    if cause not in CAUSES and cause not in seen and not cause[:1].isupper():
        known = sorted({*CAUSES, *seen})
        raise UserError(f"There is no cause {cause}: choose one of {', '.join(known)}, or an exception's class such as ValueError.")


def _chosen(state: TrialStatus, named: bool, failed_alone: bool, cause: str | None) -> bool:
    """Return whether a trial is to be retried; one that was named itself always is, unless a cause was given."""
    if cause is not None:
        return state.status == "failed" and state.cause == cause
    if failed_alone:
        return state.status == "failed"
    return named or state.status in ("failed", "cancelled")


def _set_aside(folder: Path) -> None:
    """Move every attempt's checkpoints out of sight of the next; raise UserError where an earlier such folder is in the way."""
    for path in attempt_files(folder):
        attempt = path.with_suffix("")
        aside = attempt / CHECKPOINTS_ASIDE
        if (attempt / "checkpoints").is_dir() and not aside.exists():
            (attempt / "checkpoints").rename(aside)
        else:
            atomic_files.make_folder(aside)
            if (attempt / "checkpoints").is_dir():
                raise UserError(f"{aside} is in the way of setting {attempt / 'checkpoints'} aside; remove one of them.")


def _concerned(runs: Path, statuses: Sequence[SweepStatus], chosen: Iterable[str]) -> list[str]:
    """Return the sweeps, of those named or of all, that the chosen trials belong to."""
    trial_ids = set(chosen)
    inside = [sweep.name for sweep in statuses if trial_ids & {state.trial_id for state in sweep.states}]
    known = {state.trial_id for sweep in statuses for state in sweep.states}
    return list(dict.fromkeys([*inside, *(name for one in trial_ids - known for name in sweeps_of_trial(runs, one))]))


def submit_remaining(runs: Path, sweeps: Sequence[str]) -> dict[str, dict[str, str]]:
    """Do the keeper's work now for those sweeps that were submitted to Slurm; return the outcome by sweep."""
    from persona_exp.launch.sweeps.submission_record import all_submissions

    given = [name for name in sweeps if any(one.launcher == "slurm" for one in all_submissions(runs / "sweeps" / name))]
    found = {name: _keeper_round(runs / "sweeps" / name) for name in given}
    return {name: {"what": one.what, "why": one.why, "told": _outcome_text(one)} for name, one in found.items()}


def _keeper_round(sweep_folder: Path) -> "KeeperRound":
    """Run the keeper once; a second time where only that shows which trials without a job are still alive."""
    from persona_exp.launch.recovery.heartbeat_lease import LEASE_SECONDS, Observer
    from persona_exp.launch.sweeps.reconcile import reconcile_after_lease
    from persona_exp.launch.sweeps.resubmit_lost import resubmit_lost
    from persona_exp.launch.sweeps.submission_record import latest_submission

    last = latest_submission(sweep_folder)
    observer = Observer(last.lease_seconds if last else LEASE_SECONDS)
    one = resubmit_lost(sweep_folder, observer)
    if one.what != "going" or not one.doubtful:
        return one
    reconcile_after_lease(sweep_folder, observer)
    return resubmit_lost(sweep_folder, observer)


def _outcome_text(one: "KeeperRound") -> str:
    """Return what the keeper found or did, in words."""
    text = _OUTCOMES[one.what] + (f" ({one.why})" if one.why else "")
    if one.what != "going" or one.why:
        return text
    if one.no_room:
        return f"nothing was submitted (the site had no room for {counted(one.no_room, 'trial')}, until other jobs have ended)"
    if one.doubtful:
        return (
            f"nothing was submitted (of {counted(one.doubtful, 'trial')} without a job nobody knows whether work goes on: try again later)"
        )
    if one.jobless == one.going:
        return (
            f"nothing was submitted (no job of it is in the queue, but {counted(one.going, 'trial', 'is', 'are')} running outside its jobs)"
        )
    return text


def _print(answer: dict[str, Any], submit: bool) -> None:
    for name in answer["holds_lifted"]:
        print(f"{name} is held no more.")
    if not answer["allowed"] and not answer["holds_lifted"]:
        print("Nothing was left to retry.")
        return
    if answer["allowed"]:
        scratch = ", from step 0" if answer["from_scratch"] else ""
        print(f"{counted(len(answer['allowed']), 'trial')} may try again{scratch}: {_few(answer['allowed'])}.")
    submitted = answer.get("submitted", {})
    for name, outcome in submitted.items():
        print(f"{name}: {outcome['told']}.")
    if not submit or len(submitted) < len(answer["sweeps"]) or not answer["sweeps"]:
        print("Whatever is at work on a sweep takes them up; where nothing is, this goes on:" if answer["sweeps"] else "This goes on:")
        for command in answer["commands"]:
            print(f"  {command}")


_OUTCOMES = {
    "submitted": "submitted what is left",
    "going": "jobs that will take them up are in the queue",
    "unknown": "nothing was submitted",
    "held": "held again",
    "given up": "nothing was submitted",
    "ended": "nothing is left to submit",
}


def _few(names: Sequence[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
