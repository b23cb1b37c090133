"""A sweep handed to Slurm by the person's command: submitted, attached to, watched."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.config.schema import Config
from persona_exp.errors import UserError
from persona_exp.launch.cost import prediction
from persona_exp.launch.judgement import hold
from persona_exp.launch.judgement.observer import Observer
from persona_exp.launch.options import SlurmOptions, environment_scratch, for_sbatch
from persona_exp.launch.sweeps import canary
from persona_exp.launch.sweeps.arrays import send, site_limits, texts
from persona_exp.launch.sweeps.plan import plan
from persona_exp.launch.sweeps.rows import Row
from persona_exp.launch.sweeps.submission import Submission, create, draft
from persona_exp.launch.sweeps.survey import Survey, survey
from persona_exp.launch.sweeps.watch import Leaving, watch

if TYPE_CHECKING:
    from persona_exp.launch.cost.prediction import Estimate
    from persona_exp.launch.slurm.limits import Limits


def refuse_what_cannot_work(options: SlurmOptions, config: Config) -> None:
    """UserError where Slurm is not at hand, or an option is none of sbatch's: before minutes are spent on sealing."""
    from persona_exp.launch.slurm.queue import at_hand
    from persona_exp.launch.slurm.script import script

    if not options.dry_run and not at_hand("sbatch"):
        raise UserError(
            "hydra/launcher=slurm needs Slurm, and there is no sbatch here: run it on a login node, or leave hydra/launcher out."
        )
    script(
        "true",
        folder=Path(),
        name="x",
        options=for_sbatch(options, config.cluster),
        array=None,
        parallelism=1,
        dependency=None,
        environment={},
    )


def run_on_slurm(
    folder: Path, found: Sequence[Row], options: SlurmOptions, config: Config, estimate: "Estimate", limits: "Limits | None" = None
) -> int:
    """Submit what has no job yet, attach to what has, watch to the end unless told not to; the exit code."""
    with Leaving() as leaving:
        # Whoever has just crashed before telling Slurm is given no time here: watching comes back to it.
        seen = survey(folder, Observer(config.cluster.lease_seconds))
        if not seen.answered:
            raise UserError("Slurm does not answer (squeue), so what is submitted already cannot be told: try again in a minute.")
        held = hold.read(folder)
        if held:
            raise UserError(
                f"Sweep {folder.name} is held: {held['message'].rstrip('.')}; see to it, then `persona-exp retry {folder.name}`."
            )
        if seen.left:
            submission = _submit(folder, found, seen, options, config, estimate, limits)
            print(_told(folder, seen, submission), flush=True)
        elif seen.going:
            print(f"{len(seen.going)} trials of {folder.name} are running or queued already; attached to them.", flush=True)
        if seen.left or seen.going:
            if not options.wait:
                print(f"Not waiting (hydra.launcher.wait=false): `persona-exp status {folder.name}` shows how it goes.", flush=True)
                return 0
            return watch(folder, leaving=leaving)
    from persona_exp.launch.sweeps.conclusion import conclude

    return conclude(folder)


def show(folder: Path, left: Sequence[Row], options: SlurmOptions, config: Config) -> int:
    """Print what would be submitted; 0."""
    if not left:
        print(f"Every trial of {folder.name} is finished: nothing would be submitted.")
        return 0
    tasks = _tasks(left, options, config)
    recorded = _recorded(left, options, config)
    made = draft(folder, launcher="slurm", tasks=tasks, options=recorded, canary=_needs_canary(left, tasks, options))
    for name, text in texts(made, site_limits(made)):
        print(f"# ---- {name}.sbatch")
        print(text)
    print(f"Dry run: {sum(map(len, made.tasks))} trials in {len(made.tasks)} tasks; nothing was submitted.", file=sys.stderr)
    return 0


def _submit(
    folder: Path,
    found: Sequence[Row],
    seen: Survey,
    options: SlurmOptions,
    config: Config,
    estimate: "Estimate",
    limits: "Limits | None",
) -> Submission | None:
    """The new submission; None when another launcher was faster."""
    by_seal = {row.wanted.seal: row for row in found}
    left = [by_seal[one.seal] for one in seen.left if one.seal in by_seal]
    tasks = _tasks(left, options, config)
    submission = draft(
        folder,
        launcher="slurm",
        tasks=tasks,
        options=_recorded(left, options, config),
        canary=not seen.going and _needs_canary(found, tasks, options),
        after=seen.after,
        progress=seen.progress(folder),
    )
    if not create(submission):
        return None
    prediction.keep(estimate, submission.folder)
    send(submission, limits)
    return submission


def _told(folder: Path, seen: Survey, submission: Submission | None) -> str:
    if submission is None:
        return f"Another launcher has just submitted {folder.name}; attached to it."
    others = f", {len(seen.going)} are running or queued already" if seen.going else ""
    return f"Submitted {folder.name}: {len(seen.left)} trials in {len(submission.tasks)} tasks{others} (jobs {submission.job_name})."


def _tasks(left: Sequence[Row], options: SlurmOptions, config: Config) -> tuple[tuple[str, ...], ...]:
    """The canary is the first task, so a trial that trains comes first: the base model alone would show too little."""
    first = next((row for row in left if row.facts["method"] != "none"), left[0])
    ordered = [first, *(row for row in left if row is not first)]
    return plan([row.wanted.seal for row in ordered], engine=config.engine.name, trials_per_task=options.trials_per_task)


def _recorded(left: Sequence[Row], options: SlurmOptions, config: Config) -> dict[str, Any]:
    """What a later round needs to submit in the same way."""
    launch = {
        "python": sys.executable,
        "code_folder": left[0].facts["code_folder"],
        "array_parallelism": options.array_parallelism,
        "keeper": options.keeper,
        "keeper_partition": config.cluster.keeper_partition,
        "max_rounds": options.max_rounds,
        "trials_per_task": options.trials_per_task,
        "lease_seconds": config.cluster.lease_seconds,
        "environment_scratch": environment_scratch(config.cluster),
    }
    return {"sbatch": for_sbatch(options, config.cluster), "launch": launch}


def _needs_canary(found: Sequence[Row], tasks: Sequence[Sequence[str]], options: SlurmOptions) -> bool:
    """A sweep of several tasks of which no trial has passed its first steps yet. A rehearsal has no steps."""
    if not options.canary or len(tasks) < 2 or all(row.facts["engine"] == "noop" for row in found):
        return False
    trained = [row for row in found if row.facts["method"] != "none"] or found
    return not any(canary.passed(row.trial.directory) for row in trained)
