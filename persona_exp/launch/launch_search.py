"""A search: its settings and composed configs written, its base model sealed, its workers run here or submitted."""

import math
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from persona_exp.atomic_files import make_folder
from persona_exp.config.schema import Config
from persona_exp.config.trial_identity import base_config
from persona_exp.counted_noun import counted
from persona_exp.damaged_records import Damaged
from persona_exp.errors import UserError
from persona_exp.launch.cost import cost_estimate, earlier_runs
from persona_exp.launch.launch_sweep import describe, print_host_warnings, print_kept
from persona_exp.launch.launcher_options import LocalOptions, SlurmOptions, overridden, refuse_contradictions, warning_if_run_here
from persona_exp.launch.planning.bundle_plan import Terms
from persona_exp.launch.recovery import sweep_hold
from persona_exp.launch.recovery.retry_decision import allow_after_site_faults, undo_cancellations
from persona_exp.launch.sweep_forecast import device_of
from persona_exp.launch.sweep_note import note_sweep
from persona_exp.launch.sweeps import trial_set
from persona_exp.launch.sweeps.seal_sweep_rows import Row, TrialRequest, seal_rows
from persona_exp.launch.sweeps.sweep_name import sweep_name
from persona_exp.search.ask_files import ask_numbers
from persona_exp.search.continued_methods import continued_methods
from persona_exp.search.samplers import GRID, grid_points
from persona_exp.search.search_space import Setting, widened
from persona_exp.search.study_request import StudyRequest, name_digest
from persona_exp.search.study_settings import StudySettings, WarmStart, is_search, read_settings, search_file, to_ask, write_settings
from persona_exp.trial.lost_attempts import begin_anew
from persona_exp.trial.mended_records import mend_attempts
from persona_exp.trial.seal import seal
from persona_exp.trial.tracked_run import refuse_unusable_trackers


def launch_search(
    request: StudyRequest, *, command: str, options: LocalOptions | SlurmOptions | None = None, runs: Path | None = None
) -> int:
    """Write the search down, run it here or submit it, and return the exit code. The same command goes on with it; a larger number of
    trials extends it. `runs` is where it would stand, of a dry run, whose configs name a temporary folder. Raise UserError before anything
    is run or submitted."""
    options, config = options or LocalOptions(), request.first
    runs = (runs or Path(config.runs)).absolute()
    refuse_unusable_trackers([config.tracker.name])
    folder = runs / "sweeps" / (request.label.name or _name(request))
    note_sweep(folder)
    if isinstance(options, SlurmOptions):
        from persona_exp.launch.exported_options import with_exported_options
        from persona_exp.launch.sweeps.submit_sweep import check_options

        refuse_contradictions(options, config.cluster, shlex.split(command))
        options = with_exported_options(options, shlex.split(command))
        check_options(options, config.cluster, runs, begun=is_search(folder))
    elif warning := warning_if_run_here(config.cluster):
        print(warning, file=sys.stderr, flush=True)
    settings = _continued(folder, request, overridden(shlex.split(command)))
    workers = _workers(options, config, settings)
    # A dry run's config names a temporary folder, and it is the disk of `runs` that counts.
    on_host = replace(config, runs=str(runs))
    gpu = bool(device_of(options, config.cluster, None).gpus)
    if options.dry_run:
        print_host_warnings([on_host], options, gpu=gpu)
        return _print_dry_run(folder, request, settings, workers, options)
    if config.engine.name == "noop":
        raise UserError("engine=noop measures nothing that a search could go by: add --dry-run, or leave it out.")
    print(_summary(folder, settings, workers), flush=True)
    # A refusal changes nothing: workers that are at it read what the search is.
    _print_estimate(request, settings, options, workers, to_ask(settings, ask_numbers(folder)) * settings.seeds)
    print_host_warnings([on_host], options, gpu=gpu)
    rows = seal_rows([TrialRequest(base_config(config), {})], command)
    _write(folder, request, settings, rows, command)
    if isinstance(options, SlurmOptions):
        from persona_exp.launch.sweeps.submit_search import submit_search

        return submit_search(folder, options, config.cluster, workers)
    from persona_exp.launch.detached_process import say_begun
    from persona_exp.launch.workers.local_sweep import run_rounds

    say_begun(f"persona-exp search {folder.name}, status {folder.name}, cancel {folder.name}")
    return run_rounds(folder, config, Terms(size=config.bundle.size, tasks_at_once=workers, share=True))


def _name(request: StudyRequest) -> str:
    return sweep_name(request.slug, [name_digest(request.settings)])


def _continued(folder: Path, request: StudyRequest, names: set[str]) -> StudySettings:
    """Return the settings of a study that may have asks already, whose command gives the settings `names`. Raise UserError where it was
    another search."""
    settings = request.settings
    if not is_search(folder):
        if (folder / "sweep.yaml").exists():
            raise UserError(f"{folder} is that of a sweep, not of a search: give another sweep.name.")
        for note in request.notes:
            print(note, flush=True)
        return replace(settings, warm=tuple(_warm_starts(folder, request)))
    try:
        before = read_settings(folder)
    except Damaged:
        asks = counted(len(ask_numbers(folder)), "ask")
        print(f"{search_file(folder)} is damaged: it is written anew from this command, whose settings are taken for those of its {asks}.")
        return replace(settings, warm=tuple(_warm_starts(folder, request)))
    settings, notes = continued_methods(before, settings, names)
    for note in notes:
        print(note, flush=True)
    compared = ("objectives", "directions", "seeds", "fixed", "composed", "custom_search_space", "earlier")
    for name in (*compared, *(["space"] if settings.sampler["_target_"] == GRID else [])):
        if getattr(before, name) != getattr(settings, name):
            other = "settings that are not searched" if name == "fixed" else name
            raise UserError(f"The study {folder.name} was asked with other {other}: give another sweep.name.")
    space, earlier = ([Setting.from_json(one) for one in each.space] for each in (settings, before))
    widened(space, earlier)
    if settings.sampler["_target_"] == GRID:
        settings = replace(settings, n_trials=min(settings.n_trials, len(grid_points(space))))
    # What was known from the start stays so: numbers are counted behind it.
    return replace(settings, warm=before.warm)


def _warm_starts(folder: Path, request: StudyRequest) -> list[WarmStart]:
    """Return the finished trials that search.from names, and print how many others of those sweeps are not known, and why."""
    if not request.earlier:
        return []
    from persona_exp.search.warm_start import warm_starts

    known, left_out = warm_starts(request.settings, request.composed, folder.parent.parent, request.earlier)
    for name, reasons in left_out.items():
        count = sum(one.sweep == name for one in known)
        others = "".join(f"; {number} not: {reason}" for reason, number in reasons.items())
        print(
            f"search.from: {counted(count, 'finished trial')} of {name} {'is' if count == 1 else 'are'} known from the start{others}.",
            flush=True,
        )
    return known


def _write(folder: Path, request: StudyRequest, settings: StudySettings, rows: Sequence[Row], command: str) -> None:
    """Write what the search is. A person who asks again takes back what was cancelled, and vouches for the site."""
    names = [Setting.from_json(one).name for one in settings.space]
    make_folder(folder)
    request.composed.write(folder)
    kept = [trial_set.write(folder, [row.sweep_trial for row in rows]), write_settings(folder, settings)]
    print_kept([str(path) for path in kept if path])
    describe(folder, command, names, rows, note=request.label.note)
    trials = trial_set.read(folder)
    directories = [one.directory(folder) for one in trials]
    if held := sweep_hold.take_back(folder):
        print(f"It was held: {held}. The command takes that back.", flush=True)
    if taken_back := undo_cancellations(directories):
        print(f"{counted(taken_back, 'trial')} had been cancelled: the command takes that back.", flush=True)
    for lost in begin_anew(one.path for one in directories):
        print(lost, flush=True)
    print_kept(mend_attempts(directories))
    allow_after_site_faults(directories, [one.seal_name for one in trials])


def _workers(options: LocalOptions | SlurmOptions, config: Config, settings: StudySettings) -> int:
    """Return how many workers the search has at most.

    On Slurm, where hundreds of tasks may run at once, no more than can fill a bundle: what is asked before there is any result is asked at
    random. Raise UserError where an objective is not known on such a device.
    """
    device = device_of(options, config.cluster, None)
    if "gpu_seconds" in settings.objectives and not device.gpus:
        raise UserError("search.objective=gpu_seconds is not known without a GPU: take seconds.")
    places = config.bundle.size if config.engine.name == "fused" and isinstance(options, SlurmOptions) else 1
    return max(1, min(device.tasks_at_once, math.ceil(settings.n_trials * settings.seeds / places)))


def _summary(folder: Path, settings: StudySettings, workers: int) -> str:
    asked = len(ask_numbers(folder))
    done = f", of which {asked} {'has' if asked == 1 else 'have'} been asked for" if asked else ""
    trials = f"{counted(settings.n_trials, 'trial')}{done}"
    if asked > settings.n_trials:
        trials = f"{asked} trials have been asked for, more than hydra.sweeper.n_trials={settings.n_trials}, so no more are"
    sampler = str(settings.sampler["_target_"]).rsplit(".", 1)[-1]
    pruner = f", {str(settings.pruner['_target_']).rsplit('.', 1)[-1]}" if settings.pruner else ""
    at = counted(workers, "worker")
    goals = " and ".join(f"{way} {name}" for way, name in zip(settings.directions, settings.objectives, strict=True))
    return f"Search {folder.name}: {trials}, {at}; {goals} on the validation split ({sampler}{pruner})."


def _print_estimate(request: StudyRequest, settings: StudySettings, options: LocalOptions | SlurmOptions, workers: int, left: int) -> None:
    """Print what the trials that are left are expected to take, each as the first would. Raise UserError when it is over the budget."""
    config = request.first
    # Sealed for its id alone, by which earlier runs tell of it.
    trial = seal(config, command=settings.command, inputs=request.composed.first_inputs)
    configs, ids = [config] * left, [trial.trial_id] * left
    found = cost_estimate.estimate(
        configs,
        gpus_per_trial=device_of(options, config.cluster, None).gpus,
        parallelism=workers,
        cluster=config.cluster,
        trial_ids=ids,
        history=earlier_runs.read(Path(config.runs), ids, configs),
    )
    print("\n".join(cost_estimate.lines(found)[1:]), flush=True)
    if settings.pruner:
        print("What is pruned or paused takes less.", flush=True)
    cost_estimate.refuse_over_budget(found, config.cluster)


def _print_dry_run(folder: Path, request: StudyRequest, settings: StudySettings, workers: int, options: LocalOptions | SlurmOptions) -> int:
    """Print what would run or be submitted and return 0."""
    left = to_ask(settings, ask_numbers(folder)) * settings.seeds
    print(_summary(folder, settings, workers))
    _print_estimate(request, settings, options, workers, left)
    if isinstance(options, SlurmOptions):
        from persona_exp.launch.sweeps.submit_search import print_scripts

        print_scripts(folder, settings, options, request.first.cluster, workers)
    print(f"Dry run: {counted(left, 'trial')} left to be asked for; nothing was run or submitted.", file=sys.stderr)
    return 0
