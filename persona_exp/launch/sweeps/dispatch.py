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
from persona_exp.launch.planning import ledger
from persona_exp.launch.planning.bundles import Task, Terms, plan, said
from persona_exp.launch.sweeps import canary
from persona_exp.launch.sweeps.arrays import send, site_limits, texts
from persona_exp.launch.sweeps.rows import Row
from persona_exp.launch.sweeps.submission import Submission, create, draft
from persona_exp.launch.sweeps.survey import Survey, settle, survey
from persona_exp.launch.sweeps.watch import DETACHED, Leaving, watch

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
    folder: Path,
    found: Sequence[Row],
    terms: Terms,
    options: SlurmOptions,
    config: Config,
    estimate: "Estimate",
    limits: "Limits | None" = None,
) -> int:
    """Submit what has no job yet, attach to what has, watch to the end unless told not to; the exit code."""
    with Leaving() as leaving:
        held = hold.read(folder)
        if held:
            raise UserError(
                f"Sweep {folder.name} is held: {held['message'].rstrip('.')}; see to it, then `persona-exp retry {folder.name}`."
            )
        # Watching comes back to whoever died without a word, here or before telling Slurm; without it, this is the time to find out.
        observer = Observer(config.cluster.lease_seconds)
        seen = survey(folder, observer) if options.wait else settle(folder, observer, lambda: leaving.asked)
        if not seen.answered:
            raise UserError("Slurm does not answer (squeue), so what is submitted already cannot be told: try again in a minute.")
        if leaving.asked and seen.doubtful:
            print(f"Left before it was told whether {len(seen.doubtful)} trials still run; the same command goes on.", flush=True)
            return DETACHED
        if seen.left:
            submission = _submit(folder, found, seen, terms, options, config, estimate, limits)
            print(_told(folder, seen, submission), flush=True)
        elif seen.going:
            print(f"{folder.name}: {_going(seen)}; attached to them.", flush=True)
        if seen.left or seen.going:
            if not options.wait:
                print(f"Not waiting (hydra.launcher.wait=false): `persona-exp status {folder.name}` shows how it goes.", flush=True)
                return 0
            return watch(folder, leaving=leaving)
    from persona_exp.launch.sweeps.conclusion import conclude

    return conclude(folder)


def show(
    folder: Path,
    left: Sequence[Row],
    tasks: Sequence[Task],
    terms: Terms,
    options: SlurmOptions,
    config: Config,
    limits: "Limits | None",
) -> int:
    """Print what would be submitted; 0."""
    if not left:
        print(f"Every trial of {folder.name} is finished: nothing would be submitted.")
        return 0
    made = draft(
        folder,
        launcher="slurm",
        tasks=[task.seals for task in tasks],
        options=_recorded(left, terms, tasks, options, config),
        canary=_needs_canary(left, tasks, options),
    )
    for name, text in texts(made, limits or site_limits(made)):
        print(f"# ---- {name}.sbatch")
        print(text)
    told = said(tasks)
    if told:
        print(told, file=sys.stderr)
    print(f"Dry run: {sum(map(len, made.tasks))} trials in {len(made.tasks)} tasks; nothing was submitted.", file=sys.stderr)
    print("Their seals stay for the sweep; after a day `persona-exp clean` offers those that no sweep has asked for.", file=sys.stderr)
    return 0


def _submit(
    folder: Path,
    found: Sequence[Row],
    seen: Survey,
    terms: Terms,
    options: SlurmOptions,
    config: Config,
    estimate: "Estimate",
    limits: "Limits | None",
) -> Submission | None:
    """The new submission; None when another launcher was faster."""
    by_seal = {row.wanted.seal: row for row in found}
    left = [by_seal[one.seal] for one in seen.left if one.seal in by_seal]
    if not left:
        # Another has just asked for the same trials under other seals, with its code or cluster profile: they are its to submit.
        return None
    # The canary is the first task, the heaviest, whose first trial trains: the base model alone would show too little.
    tasks = plan(ledger.read(folder, [row.wanted.seal for row in left]), terms)
    submission = draft(
        folder,
        launcher="slurm",
        tasks=[task.seals for task in tasks],
        options=_recorded(left, terms, tasks, options, config),
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
    others = f", besides {_going(seen)}" if seen.going else ""
    told = f"Submitted {folder.name}: {len(submission.trial_ids)} trials in {len(submission.tasks)} tasks"
    return f"{told}{others} (jobs {submission.job_name})."


def _going(seen: Survey) -> str:
    """What has a job or an attempt already, and what of that may be dead for all that is known."""
    doubtful = f"{len(seen.doubtful)} trials without a job or a sign of life so far" if seen.doubtful else ""
    sure = len(seen.going) - len(seen.doubtful)
    return " and ".join(filter(None, [f"{sure} trials running or queued already" if sure else "", doubtful]))


def _recorded(left: Sequence[Row], terms: Terms, tasks: Sequence[Task], options: SlurmOptions, config: Config) -> dict[str, Any]:
    """What a later round needs to submit in the same way."""
    launch = {
        "python": sys.executable,
        "code_folder": left[0].facts["code_folder"],
        "array_parallelism": options.array_parallelism,
        "keeper": options.keeper,
        "keeper_partition": config.cluster.keeper_partition,
        "max_rounds": options.max_rounds,
        "lease_seconds": config.cluster.lease_seconds,
        "environment_scratch": environment_scratch(config.cluster),
        **ledger.options(terms, tasks),
    }
    return {"sbatch": for_sbatch(options, config.cluster), "launch": launch}


def _needs_canary(found: Sequence[Row], tasks: Sequence[Task], options: SlurmOptions) -> bool:
    """A sweep of several tasks of which no trial has passed its first steps yet. A rehearsal has no steps."""
    if not options.canary or len(tasks) < 2 or all(row.facts["engine"] == "noop" for row in found):
        return False
    trained = [row for row in found if row.facts["method"] != "none"] or found
    return not any(canary.passed(row.trial.directory) for row in trained)
