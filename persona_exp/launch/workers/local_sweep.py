"""A sweep run on this machine.

python -m persona_exp.launch.workers.local_sweep FOLDER N_JOBS      goes on with a folder's sweep, under the seals it asked for last
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from persona_exp.config.schema import Config
from persona_exp.errors import UserError
from persona_exp.launch.cost import cost_estimate
from persona_exp.launch.detached_process import say_begun
from persona_exp.launch.job_resume_command import write_resume_command
from persona_exp.launch.launcher_options import environment_scratch
from persona_exp.launch.planning import plan_file
from persona_exp.launch.planning.bundle_plan import Terms, plan
from persona_exp.launch.recovery import sweep_hold
from persona_exp.launch.recovery.heartbeat_lease import Observer
from persona_exp.launch.sweeps import trial_set
from persona_exp.launch.sweeps.finish_sweep import finish_sweep
from persona_exp.launch.sweeps.reconcile import reconcile
from persona_exp.launch.sweeps.seal_sweep_rows import Row
from persona_exp.launch.sweeps.search_tasks import search_tasks
from persona_exp.launch.sweeps.submission_record import Submission, all_submissions, create, draft
from persona_exp.launch.sweeps.watch_sweep import DetachRequest
from persona_exp.launch.workers.local_workers import run_locally
from persona_exp.launch.workers.visible_gpus import gpus_here
from persona_exp.lossy_output import outlive_full_disk
from persona_exp.process_signals import exit_resumable_on_signal
from persona_exp.search.study_settings import is_search
from persona_exp.trial.seal import read_seal

if TYPE_CHECKING:
    from persona_exp.launch.cost.cost_estimate import Estimate

INTERRUPTED = 75
POLL_SECONDS = 1.0
# What so many rounds in a row brought no further is left to a person.
ROUNDS = 3


def run_here(folder: Path, rows: Sequence[Row], terms: Terms, estimate: "Estimate") -> int:
    """Run what is left with as many workers as tasks may run at once, wait for what runs elsewhere, then report; return the exit code."""
    write_resume_command(rows[0].trial.path, "persona_exp.launch.workers.local_sweep", str(folder.absolute()), str(terms.tasks_at_once))
    say_begun(f"persona-exp status {folder.name}, logs -f TRIAL, cancel {folder.name}")
    return run_rounds(folder, rows[0].config, terms, estimate)


def main(folder: Path, n_jobs: int) -> int:
    """Go on with a sweep and return the exit code."""
    try:
        trials = folder.parent.parent / "trials"
        config = read_seal(trials / trial_set.read(folder)[0].seal)[1]
        print(f"Sweep {folder.name} goes on as it was sealed.", flush=True)
        return run_rounds(folder, config, _terms_before(folder, config, n_jobs))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _terms_before(folder: Path, config: Config, n_jobs: int) -> Terms:
    """Return the terms of the last round here with as many workers, which this one goes on with."""
    kept = [one.options["launch"] for one in all_submissions(folder) if one.launcher == "local" and "terms" in one.options["launch"]]
    before = [terms for terms in map(plan_file.terms_of, kept) if terms.tasks_at_once == n_jobs]
    return before[-1] if before else Terms(size=config.bundle.size, tasks_at_once=n_jobs, share=True)


def run_rounds(folder: Path, config: Config, terms: Terms, estimate: "Estimate | None" = None) -> int:
    """Run what is left of a sweep or search in rounds of workers, wait for what runs elsewhere, then report; return the exit code."""
    gpus = gpus_here()
    observer, worst = Observer(config.cluster.lease_seconds), 0
    reached: list[list[int]] = []
    while True:
        seen = reconcile(folder, observer)
        left = [one.seal for one in seen.unserved]
        if (left or seen.to_ask) and (sweep_hold.read(folder) or reached[-ROUNDS:] == [seen.progress(folder)] * ROUNDS):
            return max(1, finish_sweep(folder))
        if left or seen.to_ask:
            reached.append(seen.progress(folder))
            submission = _record(folder, left, terms, config)
            if estimate:
                cost_estimate.keep(estimate, submission.folder)
            code = run_locally(submission.path, n_jobs=terms.tasks_at_once, gpus=gpus, titles=trial_set.titles(seen.trials))
            if code == INTERRUPTED:
                return INTERRUPTED
            worst = max(worst, code)
        elif seen.going:
            trials = "One trial is" if len(seen.going) == 1 else f"{len(seen.going)} trials are"
            print(f"{trials} running elsewhere; waiting for the end.", flush=True)
            if not _waited(folder, observer):
                print(f"Stopped waiting: what runs elsewhere goes on there, and the same command comes back to {folder.name}.", flush=True)
                return INTERRUPTED
        else:
            return max(worst, finish_sweep(folder))


def _waited(folder: Path, observer: Observer) -> bool:
    """Wait until something is left to be done here, or nothing runs elsewhere any more; return False when a signal came before."""
    with DetachRequest() as detach:
        while not detach.requested:
            time.sleep(POLL_SECONDS)
            seen = reconcile(folder, observer)
            if seen.unserved or seen.to_ask or not seen.going:
                return not detach.requested
    return False


def _record(folder: Path, left: Sequence[str], terms: Terms, config: Config) -> Submission:
    """Create and return the next record: other launchers may work at the same sweep, and claim other trials."""
    cluster = config.cluster
    launch = {"n_jobs": terms.tasks_at_once, "lease_seconds": cluster.lease_seconds, "environment_scratch": environment_scratch(cluster)}
    if is_search(folder):
        tasks, planned = search_tasks(folder, left, terms.tasks_at_once), {}
    else:
        plans = plan(plan_file.read(folder, left), terms)
        tasks, planned = [task.seals for task in plans], plan_file.options(terms, plans)
    options = {"launch": {**launch, **planned}}
    while True:
        made = draft(folder, launcher="local", tasks=tasks, options=options, canary=False)
        if create(made):
            return made


if __name__ == "__main__":
    outlive_full_disk()
    exit_resumable_on_signal()
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
