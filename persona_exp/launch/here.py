"""A sweep run on this machine."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from persona_exp.launch import cost, hold, wanted
from persona_exp.launch.conclusion import conclude
from persona_exp.launch.gpus import gpus_here
from persona_exp.launch.local import run_locally
from persona_exp.launch.observer import Observer
from persona_exp.launch.options import LocalOptions
from persona_exp.launch.plan import plan
from persona_exp.launch.rows import Row
from persona_exp.launch.submission import Submission, create
from persona_exp.launch.survey import survey

if TYPE_CHECKING:
    from persona_exp.launch.cost import Estimate

INTERRUPTED = 75
POLL_SECONDS = 1.0
# What so many rounds in a row brought no further is left to a person.
ROUNDS = 3


def run_here(folder: Path, found: Sequence[Row], options: LocalOptions, estimate: "Estimate") -> int:
    """Run what is left with `n_jobs` workers, wait for what runs elsewhere, then report; the exit code."""
    gpus = gpus_here()
    n_jobs = options.n_jobs or max(1, len(gpus))
    config = found[0].config
    observer, worst, announced = Observer(config.cluster.lease_seconds), 0, False
    reached: list[list[int]] = []
    while True:
        seen = survey(folder, observer)
        left = [one.seal for one in seen.left]
        if left and (hold.read(folder) or reached[-ROUNDS:] == [seen.progress(folder)] * ROUNDS):
            return max(1, conclude(folder))
        if left:
            reached.append(seen.progress(folder))
            tasks = plan(left, engine=config.engine.name)
            submission = _record(folder, tasks, n_jobs)
            cost.keep(estimate, submission.folder)
            code = run_locally(submission.path, n_jobs=n_jobs, gpus=gpus, titles=wanted.titles(seen.asked))
            if code == INTERRUPTED:
                return INTERRUPTED
            worst = max(worst, code)
        elif seen.going:
            if not announced:
                print(f"{len(seen.going)} trials are running elsewhere; waiting for them.", flush=True)
                announced = True
            time.sleep(POLL_SECONDS)
        else:
            return max(worst, conclude(folder))


def _record(folder: Path, tasks: Sequence[Sequence[str]], n_jobs: int) -> Submission:
    """The next record: other launchers may work at the same sweep, and claim other trials."""
    while True:
        made = create(folder, launcher="local", tasks=tasks, options={"launch": {"n_jobs": n_jobs}}, canary=False)
        if made is not None:
            return made
