"""A sweep given to Slurm by the person's command: submit it, attach to it, watch it; or print a dry run."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from persona_exp.config.schema import Cluster
from persona_exp.counted_noun import counted
from persona_exp.errors import UserError
from persona_exp.launch.cost.cost_estimate import Estimate, keep
from persona_exp.launch.launcher_options import SlurmOptions, launch_options, sbatch_options
from persona_exp.launch.planning import plan_file
from persona_exp.launch.planning.bundle_plan import Task, Terms, plan, plan_summary
from persona_exp.launch.recovery import sweep_hold
from persona_exp.launch.recovery.heartbeat_lease import Observer
from persona_exp.launch.slurm.site_limits import Limits, limits_of_job
from persona_exp.launch.sweeps import canary_trial, trial_set
from persona_exp.launch.sweeps.job_arrays import sbatch_texts, submit_jobs
from persona_exp.launch.sweeps.reconcile import Reconciliation, reconcile_until_answered
from persona_exp.launch.sweeps.seal_sweep_rows import Row
from persona_exp.launch.sweeps.submission_record import Submission, create, draft
from persona_exp.launch.sweeps.watch_sweep import DETACHED, DetachRequest, watch_sweep


@dataclass(frozen=True)
class SlurmSweep:
    """A sweep's sealed `rows`, and how they are submitted: by a plan that keeps to `terms`, with `options`, on the site `cluster`."""

    folder: Path
    rows: Sequence[Row]
    terms: Terms
    options: SlurmOptions
    cluster: Cluster
    limits: Limits | None


def check_options(options: SlurmOptions, cluster: Cluster, runs: Path, *, begun: bool) -> None:
    """Raise UserError for what sbatch would not take, before minutes are spent on sealing; unless the sweep has `begun`, and may have
    ended, also where there is no Slurm.
    """
    from persona_exp.launch.slurm.sbatch_script import script
    from persona_exp.launch.slurm.slurm_queue import require_slurm

    if not options.dry_run and not begun:
        require_slurm()
    script(
        "true",
        folder=runs,
        name="x",
        options=sbatch_options(options, cluster),
        array=None,
        parallelism=1,
        dependency=None,
        environment={},
    )


def submit_and_watch(sweep: SlurmSweep, estimate: Estimate) -> int:
    """Submit what has no job yet, attach to what has, watch to the end unless `wait` is off, and return the exit code."""
    folder = sweep.folder
    with DetachRequest() as detach:
        held = sweep_hold.read(folder)
        if held:
            raise UserError(
                f"Sweep {folder.name} is held: {held['message'].rstrip('.')}; see to it, then `persona-exp retry {folder.name}`."
            )
        # Watching comes back to a worker that died in silence, here or before Slurm knew of it; without it, this is the time to find out.
        observer = Observer(sweep.cluster.lease_seconds)
        seen = reconcile_until_answered(folder, observer, lease=not sweep.options.wait, leave=lambda: detach.requested)
        if detach.requested and seen.doubtful:
            print(f"Left before it was known what becomes of {counted(len(seen.doubtful), 'trial')}; the same command goes on.", flush=True)
            return DETACHED
        if seen.unserved:
            submission = _submit(sweep, seen, estimate)
            print(_submitted_message(folder, seen, submission), flush=True)
        elif seen.going:
            print(f"{folder.name}: {_going(seen)}; attached to them.", flush=True)
        if seen.unserved or seen.going:
            if not sweep.options.wait:
                print(f"Not waiting (hydra.launcher.wait=false): `persona-exp status {folder.name}` shows how it goes.", flush=True)
                return 0
            return watch_sweep(folder, detach=detach)
    if all(one.next == "finished" for one in seen.decisions.values()):
        print(f"{folder.name} is finished: nothing is left to run.", flush=True)
    from persona_exp.launch.sweeps.finish_sweep import finish_sweep

    return finish_sweep(folder)


def print_dry_run(sweep: SlurmSweep, tasks: Sequence[Task]) -> int:
    """Print what would be submitted and return 0."""
    if not sweep.rows:
        print(f"Every trial of {sweep.folder.name} is finished: nothing would be submitted.")
        return 0
    made = draft(
        sweep.folder,
        launcher="slurm",
        tasks=[task.seals for task in tasks],
        options=_recorded(sweep, sweep.rows[0], tasks),
        canary=_needs_canary(sweep, tasks),
    )
    for name, text in sbatch_texts(made, sweep.limits or limits_of_job(made.options["sbatch"])):
        print(f"# ---- {name}.sbatch")
        print(text)
    bundles = plan_summary(tasks)
    if bundles:
        print(bundles, file=sys.stderr)
    print(
        f"Dry run: {counted(sum(map(len, made.tasks)), 'trial')} in {counted(len(made.tasks), 'task')}; nothing was submitted.",
        file=sys.stderr,
    )
    return 0


def _submit(sweep: SlurmSweep, seen: Reconciliation, estimate: Estimate) -> Submission | None:
    """Submit what is unserved and return the submission; None when another launcher was faster."""
    own = {row.sweep_trial.seal for row in sweep.rows} | {one.seal for one in trial_set.trials_added(sweep.folder)}
    left = [one.seal for one in seen.unserved if one.seal in own]
    if not left:
        # Another has just asked for the same trials under other seals, with its code or cluster profile: they are its to submit.
        return None
    # The canary is the first task, the heaviest, whose first trial trains: the base model alone would show too little.
    tasks = plan(plan_file.read(sweep.folder, left), sweep.terms)
    submission = draft(
        sweep.folder,
        launcher="slurm",
        tasks=[task.seals for task in tasks],
        options=_recorded(sweep, sweep.rows[0], tasks),
        canary=not seen.going and _needs_canary(sweep, tasks),
        after=seen.after,
        progress=seen.progress(sweep.folder),
    )
    if not create(submission):
        return None
    keep(estimate, submission.folder)
    submit_jobs(submission, sweep.limits)
    return submission


def _submitted_message(folder: Path, seen: Reconciliation, submission: Submission | None) -> str:
    if submission is None:
        return f"Another launcher has just submitted {folder.name}; attached to it."
    others = f", besides {_going(seen)}" if seen.going else ""
    submitted = f"Submitted {folder.name}: {counted(len(submission.trial_ids), 'trial')} in {counted(len(submission.tasks), 'task')}"
    return f"{submitted}{others} (jobs {submission.job_name})."


def _going(seen: Reconciliation) -> str:
    """Return what has a job or an attempt already, and what of that may be dead."""
    doubtful = f"{counted(len(seen.doubtful), 'trial')} without a job or a sign of life so far" if seen.doubtful else ""
    sure = len(seen.going) - len(seen.doubtful)
    return " and ".join(filter(None, [f"{counted(sure, 'trial')} running or queued already" if sure else "", doubtful]))


def _recorded(sweep: SlurmSweep, first: Row, tasks: Sequence[Task]) -> dict[str, Any]:
    """Return what a later round needs to submit in the same way; `first` is one of its rows."""
    options, cluster = sweep.options, sweep.cluster
    launch = {
        "python": sys.executable,
        "code_folder": first.facts["code_folder"],
        **launch_options(options, cluster),
        **plan_file.options(sweep.terms, tasks),
    }
    return {"sbatch": sbatch_options(options, cluster), "launch": launch}


def _needs_canary(sweep: SlurmSweep, tasks: Sequence[Task]) -> bool:
    """Return whether the sweep has several tasks and no trial has passed its first steps yet. A rehearsal has no steps."""
    if not sweep.options.canary or len(tasks) < 2 or all(row.facts["engine"] == "noop" for row in sweep.rows):
        return False
    trained = [row for row in sweep.rows if row.facts["method"] != "none"] or sweep.rows
    return not any(canary_trial.passed(row.trial.directory) for row in trained)
