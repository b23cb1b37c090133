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
from persona_exp.launch.cost import prediction
from persona_exp.launch.judgement import hold
from persona_exp.launch.judgement.observer import Observer
from persona_exp.launch.note import note
from persona_exp.launch.options import environment_scratch
from persona_exp.launch.planning import ledger
from persona_exp.launch.planning.bundles import Terms, plan
from persona_exp.launch.sweeps import wanted
from persona_exp.launch.sweeps.conclusion import conclude
from persona_exp.launch.sweeps.rows import Row
from persona_exp.launch.sweeps.submission import Submission, create, draft, submissions
from persona_exp.launch.sweeps.survey import survey
from persona_exp.launch.sweeps.watch import Leaving
from persona_exp.launch.workers.gpus import gpus_here
from persona_exp.launch.workers.local import run_locally
from persona_exp.process import leave_with_75
from persona_exp.trial.seal import read_seal

if TYPE_CHECKING:
    from persona_exp.launch.cost.prediction import Estimate

INTERRUPTED = 75
POLL_SECONDS = 1.0
# What so many rounds in a row brought no further is left to a person.
ROUNDS = 3


def run_here(folder: Path, found: Sequence[Row], terms: Terms, estimate: "Estimate") -> int:
    """Run what is left with as many workers as tasks may run at once, wait for what runs elsewhere, then report; the exit code."""
    note(found[0].trial.path, "persona_exp.launch.workers.local_sweep", str(folder.absolute()), str(terms.tasks_at_once))
    return _rounds(folder, found[0].config, terms, estimate)


def main(folder: Path, n_jobs: int) -> int:
    """Go on with a sweep; the exit code."""
    try:
        trials = folder.parent.parent / "trials"
        config = read_seal(trials / wanted.read(folder)[0].seal)[1]
        print(f"Sweep {folder.name} goes on as it was sealed.", flush=True)
        return _rounds(folder, config, _terms_before(folder, config, n_jobs), None)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _terms_before(folder: Path, config: Config, n_jobs: int) -> Terms:
    """Those of the last round here with as many workers, which this one goes on with."""
    kept = [one.options["launch"] for one in submissions(folder) if one.launcher == "local" and "terms" in one.options["launch"]]
    before = [terms for terms in map(ledger.terms_of, kept) if terms.tasks_at_once == n_jobs]
    return before[-1] if before else Terms(size=config.bundle.size, tasks_at_once=n_jobs, share=True)


def _rounds(folder: Path, config: Config, terms: Terms, estimate: "Estimate | None") -> int:
    gpus = gpus_here()
    observer, worst = Observer(config.cluster.lease_seconds), 0
    reached: list[list[int]] = []
    while True:
        seen = survey(folder, observer)
        left = [one.seal for one in seen.left]
        if left and (hold.read(folder) or reached[-ROUNDS:] == [seen.progress(folder)] * ROUNDS):
            return max(1, conclude(folder))
        if left:
            reached.append(seen.progress(folder))
            submission = _record(folder, left, terms, config)
            if estimate:
                prediction.keep(estimate, submission.folder)
            code = run_locally(submission.path, n_jobs=terms.tasks_at_once, gpus=gpus, titles=wanted.titles(seen.asked))
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
            return max(worst, conclude(folder))


def _waited(folder: Path, observer: Observer) -> bool:
    """Wait until something is left to be done here, or nothing runs elsewhere any more; False when a signal came before."""
    with Leaving() as leaving:
        while not leaving.asked:
            time.sleep(POLL_SECONDS)
            seen = survey(folder, observer)
            if seen.left or not seen.going:
                return not leaving.asked
    return False


def _record(folder: Path, left: Sequence[str], terms: Terms, config: Config) -> Submission:
    """The next record: other launchers may work at the same sweep, and claim other trials."""
    cluster, tasks = config.cluster, plan(ledger.read(folder, left), terms)
    launch = {"n_jobs": terms.tasks_at_once, "lease_seconds": cluster.lease_seconds, "environment_scratch": environment_scratch(cluster)}
    options = {"launch": {**launch, **ledger.options(terms, tasks)}}
    while True:
        made = draft(folder, launcher="local", tasks=[task.seals for task in tasks], options=options, canary=False)
        if create(made):
            return made


if __name__ == "__main__":
    leave_with_75()
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
