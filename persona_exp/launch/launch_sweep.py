"""A sweep: seal its trials, estimate, run here or submit to Slurm, report."""

import math
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp import atomic_files
from persona_exp.config.schema import Config
from persona_exp.config.schema.sweep_label import SweepLabel
from persona_exp.counted_noun import counted
from persona_exp.damaged_records import Damaged, set_aside
from persona_exp.errors import UserError
from persona_exp.launch.host_room import refuse_too_large
from persona_exp.launch.launcher_options import LocalOptions, SlurmOptions, refuse_contradictions, sbatch_options, warning_if_run_here
from persona_exp.launch.planning import plan_file
from persona_exp.launch.planning.bundle_plan import plan_summary
from persona_exp.launch.recovery import sweep_hold
from persona_exp.launch.recovery.retry_decision import Decision, allow_after_site_faults, decide, undo_cancellations
from persona_exp.launch.slurm.site_limits import Limits, limits_of_job
from persona_exp.launch.sweep_forecast import Forecast, device_of, forecast
from persona_exp.launch.sweep_note import note_sweep
from persona_exp.launch.sweeps import latest_sweep, trial_set
from persona_exp.launch.sweeps.seal_sweep_rows import Row, TrialRequest, fewer_trials, seal_rows
from persona_exp.launch.sweeps.submission_record import set_damaged_aside
from persona_exp.launch.sweeps.sweep_name import asked_digest, begun, refuse_taken, sweep_name, take
from persona_exp.launch.temporary_runs import own_trial, temporary_runs
from persona_exp.trial import forgotten_sweep
from persona_exp.trial.attempt_claim_and_heartbeat import utc_now
from persona_exp.trial.lost_attempts import begin_anew
from persona_exp.trial.mended_records import mend_attempts
from persona_exp.trial.recorded_sweep import read_sweep
from persona_exp.trial.seal import is_published
from persona_exp.trial.sweep_file import sweep_text
from persona_exp.trial.tracked_run import refuse_unusable_trackers
from persona_exp.trial.trial_base_model import download_model, pinned_model
from persona_exp.trial.trial_dataset import refuse_to_ask
from persona_exp.trial.trial_directory import TrialDirectory

if TYPE_CHECKING:
    from persona_exp.launch.cost.cost_estimate import Estimate


def launch_sweep(
    *,
    command: str,
    arguments: Sequence[str],
    swept: Sequence[str],
    requests: Sequence[TrialRequest],
    options: LocalOptions | SlurmOptions | None = None,
    roles: Mapping[str, Sequence[str]] | None = None,
    label: SweepLabel | None = None,
) -> int:
    """Seal every trial and its base model, run what is not finished, write the report, and return the exit code.

    `command` is what the person typed, the launcher's settings included; `arguments` are its overrides without Hydra's own; `roles` says
    which of the swept settings are `arms`, and which `tuned`; `label` is what the person calls the sweep.

    Nothing runs before all are sealed, so that a mistake in the last trial costs no time of the first. Raise UserError before anything
    is run or submitted.
    """
    if not requests:
        raise UserError("The sweep holds no trial: give at least one value for each swept setting.")
    for key in swept:
        if key.split(".")[0] in ("sweep", "notify"):
            raise UserError(f"{key} is said of the whole sweep, and takes one value: leave out the others.")
    label, options = label or SweepLabel(), options or LocalOptions()
    cluster, runs = requests[0].config.cluster, Path(requests[0].config.runs).absolute()
    refuse_unusable_trackers(one.config.tracker.name for one in requests)
    # Settings that a row of hydra.sweeper.pairs gives have a name and no one value.
    named = list(dict.fromkeys(argument for argument in arguments if argument.split("=")[0].lstrip("+~") in (*swept, "sweeps")))
    if isinstance(options, SlurmOptions):
        from persona_exp.launch.exported_options import with_exported_options
        from persona_exp.launch.sweeps.submit_sweep import check_options

        refuse_contradictions(options, cluster, shlex.split(command))
        options = with_exported_options(options, shlex.split(command))
        check_options(options, cluster, runs, begun=begun(runs, label.name, named))
    elif not options.dry_run and (warning := warning_if_run_here(cluster)):
        print(warning, file=sys.stderr, flush=True)
    limits = limits_of_job(sbatch_options(options, cluster)) if isinstance(options, SlurmOptions) else None
    # What cannot be is said before anything is built or sealed.
    device = device_of(options, cluster, limits)
    refuse_too_large([one.config for one in requests], device.memory_gb, gpu=bool(device.gpus), done=is_published)
    if options.dry_run:
        with temporary_runs(runs) as there:
            requests = [replace(one, config=replace(one.config, runs=str(there))) for one in requests]
            for one in requests:
                refuse_to_ask(one.config)
            rows = _sealed(requests, command, own_trial)
            return _print_dry_run(_named(runs, rows, named, label), _forecast(rows, runs, options, limits), options, limits)
    rows = _sealed(requests, command)
    folder = _named(runs, rows, named, label)
    ahead = _forecast(rows, runs, options, limits)
    estimate = estimated(folder.name, ahead, limits)
    if not unfinished(rows) and folder.is_dir() and not os.access(folder, os.W_OK):
        print(f"All is finished, and {folder} may only be read here: its report stays as it is.", flush=True)
        return 0
    if label.name:
        take(folder, asked_digest(_asked_ids(rows)))
    write(folder, command, swept, ahead, roles, label.note)
    if isinstance(options, SlurmOptions):
        from persona_exp.launch.sweeps.submit_sweep import SlurmSweep, submit_and_watch

        return submit_and_watch(SlurmSweep(folder, rows, ahead.terms, options, cluster, limits), estimate)
    from persona_exp.launch.workers.local_sweep import run_here

    return run_here(folder, rows, ahead.terms, estimate)


def _sealed(requests: Sequence[TrialRequest], command: str, before_writing: Callable[[TrialDirectory], None] | None = None) -> list[Row]:
    rows = seal_rows(requests, command, before_writing)
    if fewer := fewer_trials(requests, rows):
        print(fewer, flush=True)
    return rows


def _named(runs: Path, rows: Sequence[Row], named: Sequence[str], label: SweepLabel) -> Path:
    """Return the folder of the sweep of these rows, whether it is there or not. Raise UserError where its name is another's."""
    ids = _asked_ids(rows)
    folder = runs / "sweeps" / (label.name or sweep_name(named, ids))
    if label.name:
        refuse_taken(folder, asked_digest(ids))
    note_sweep(folder)
    return folder


def _asked_ids(rows: Sequence[Row]) -> list[str]:
    return [eval_id for row in rows for eval_id in row.evaluations.values()] or [row.trial.trial_id for row in rows]


def _forecast(rows: Sequence[Row], runs: Path, options: LocalOptions | SlurmOptions, limits: Limits | None) -> Forecast:
    """Return what the sweep will be, and print what its trials may lack. Raise UserError where they cannot be run at all."""
    ahead = forecast(rows, options, limits)
    gpu = bool(ahead.device.gpus)
    # A dry run's rows are sealed elsewhere, and it is the disk of `runs` that counts.
    left = [replace(row.config, runs=str(runs)) for row in unfinished(rows)]
    refuse_too_large(left, ahead.device.memory_gb, gpu=gpu)
    print_host_warnings(left, options, gpu=gpu)
    return ahead


def print_host_warnings(configs: Sequence[Config], options: LocalOptions | SlurmOptions, *, gpu: bool) -> None:
    """Print what jobs may lack of host memory and disk for these trials' models. Raise UserError where one cannot run at all."""
    from persona_exp.cgroup_memory import memory_gb
    from persona_exp.launch.host_room import check_host

    trained = [one for one in configs if one.engine.name != "noop"]
    if not trained:
        return
    here = {"mem_gb": memory_gb()}
    given = sbatch_options(options, trained[0].cluster) if isinstance(options, SlurmOptions) else here
    folders = [download_model(pinned_model(one)) for one in trained]
    for warning in check_host(trained, folders, given, gpu=gpu):
        print(warning, file=sys.stderr, flush=True)


def write(
    folder: Path,
    command: str,
    swept: Sequence[str],
    ahead: Forecast,
    roles: Mapping[str, Sequence[str]] | None = None,
    note: str | None = None,
) -> None:
    """Write what the sweep asks for. A person who asks again takes back what was cancelled, and vouches for the site."""
    rows = ahead.rows
    describe(folder, command, swept, rows, roles, note)
    plan_file.write(folder, ahead.costs)
    kept = trial_set.write(folder, [row.sweep_trial for row in rows])
    directories = [row.trial.directory for row in rows]
    for lost in begin_anew(one.path for one in directories):
        print(lost, flush=True)
    print_kept([*([str(kept)] if kept else []), *mend_attempts(directories), *map(str, set_damaged_aside(folder))])
    taken_back = undo_cancellations(directories)
    if taken_back:
        print(f"{counted(taken_back, 'trial')} had been cancelled: the command takes that back.", flush=True)
    allow_after_site_faults(directories, [row.trial.path.name for row in rows])
    if held := sweep_hold.take_back(folder):
        print(f"It was held: {held}. The command takes that back.", flush=True)


def print_kept(kept: Sequence[str]) -> None:
    """Say which damaged records were kept beside those that took their place."""
    for path in kept:
        print(f"A damaged record was written anew; what it said is kept in {path}.", flush=True)


def unfinished(rows: Sequence[Row]) -> list[Row]:
    """Return the rows whose trial has something left to do, failed ones too."""
    return [row for row, one in zip(rows, decisions(rows), strict=True) if one.next != "finished"]


def decisions(rows: Sequence[Row]) -> list[Decision]:
    """Return what comes next for each row's trial, as far as its files tell at once."""
    return [decide(row.trial.directory, row.trial.path.name, lambda _: "unknown") for row in rows]


def estimated(name: str, ahead: Forecast, limits: Limits | None) -> "Estimate":
    """Print and return what the sweep is expected to take. Raise UserError when it is over the budget."""
    from persona_exp.launch.cost import cost_estimate

    cluster, left = ahead.rows[0].config.cluster, unfinished(ahead.rows)
    estimate = ahead.estimate(left, limits)
    first_line, *others = cost_estimate.lines(estimate)
    bundles = plan_summary(ahead.plan(left))
    print("\n".join([f"Sweep {name}: {first_line}", *([bundles] if bundles else []), *others]), flush=True)
    failed = sum(one.next == "failed" for one in decisions(left))
    if failed:
        print(f"Of these {failed} failed before and are left alone: `persona-exp retry {name} --failed` lets them try again.", flush=True)
    cost_estimate.refuse_over_budget(estimate, cluster)
    return estimate


def _print_dry_run(folder: Path, ahead: Forecast, options: LocalOptions | SlurmOptions, limits: Limits | None) -> int:
    """Print what would be run here, or submitted, and return 0."""
    left = unfinished(ahead.rows)
    tasks = ahead.plan(left)
    if isinstance(options, SlurmOptions):
        from persona_exp.launch.sweeps.submit_sweep import SlurmSweep, print_dry_run

        return print_dry_run(SlurmSweep(folder, left, ahead.terms, options, ahead.rows[0].config.cluster, limits), tasks)
    estimated(folder.name, ahead, None)
    bundles = sum(math.ceil(len(task.trials) / task.at_once) for task in tasks)
    print(f"Dry run: {counted(len(left), 'trial')} in {counted(bundles, 'bundle')}; nothing was run.")
    if any(row.config.engine.name == "noop" for row in left):
        print("engine=noop plans trials alone, without base models, and takes no time: leave it out for bundles, memory and hours.")
    return 0


def describe(
    folder: Path,
    command: str,
    swept: Sequence[str],
    rows: Sequence[Row],
    roles: Mapping[str, Sequence[str]] | None = None,
    note: str | None = None,
) -> None:
    """Write sweep.yaml, anew where the command is another: the last one given is the one that goes on with the sweep.

    A `note` stays until another takes its place; an empty one takes it away.
    """
    path = folder / "sweep.yaml"
    before = _described(path, rows)
    head: dict[str, Any] = {"name": folder.name, "command": command, "swept": list(swept)}
    head |= {role: list(keys) for role, keys in (roles or {}).items() if keys}
    if note := before["note"] if before and note is None else note:
        head["note"] = note
    if forgotten_sweep.take_back(folder):
        print(f"{folder.name} was forgotten: the command takes that back.", flush=True)
        latest_sweep.lead_to_newest(folder.parents[1])
    if before is None:
        if atomic_files.create_text(path, _description({**head, "created": utc_now()}, rows)) or latest_sweep.is_missing(folder.parents[1]):
            latest_sweep.lead_to(folder)
    elif before["command"] != command or before["note"] != (note or ""):
        atomic_files.write_text(path, _description({**head, "created": before["created"]}, rows))


def _described(path: Path, rows: Sequence[Row]) -> dict[str, Any] | None:
    """Return command, time and note of what sweep.yaml has; None without it, and where it is damaged, which is then kept beside it."""
    if not path.exists():
        return None
    try:
        sweep = read_sweep(path.parents[2], path.parent.name)
    except Damaged:
        sweep = None
    # Cut short between two of its trials it is YAML all the same.
    if sweep and {row.trial.trial_id for row in rows} <= {one.trial_id for one in sweep.trials}:
        return {"command": sweep.command, "created": sweep.created, "note": sweep.note}
    if (kept := set_aside(path)) is not None:
        print_kept([str(kept)])
    return None


def _description(head: Mapping[str, Any], rows: Sequence[Row]) -> str:
    trials = [
        {"trial_id": row.trial.trial_id, "role": row.role, "overrides": row.overrides, "evaluations": row.evaluations} for row in rows
    ]
    return sweep_text(head, trials)
