"""What a scheduler does to a job on purpose: signals, preemption, requeueing, the end of its time."""

import os
import signal
import time

import pytest

from tests.faults.sweep import LONG, ONE, TWO, seconds_since

pytestmark = [pytest.mark.slurm, pytest.mark.faults]

STEP = 10


def survives(cluster, sweep, expected, inject, *, arguments=ONE, options=("hydra.launcher.canary=false",), step=STEP, code=0):
    """Run `arguments`, call `inject(sweep, trial)` when a trial is at `step`; all must end as if nothing had happened."""
    whole = expected(arguments)
    one = sweep(arguments)
    started = time.monotonic()
    one.launch(*options)
    trial = next(iter(whole))
    one.reaches(trial, step)
    inject(one, trial)
    one.ends(code)
    elapsed = seconds_since(started)
    one.drains()
    causes = one.finished_once(whole)
    one.reported()
    print(f"\n{elapsed}, attempts of the trial: {causes[trial]}, resumed from {[r.get('resumed_from_step') for r in one.attempts(trial)]}")
    return one, trial, causes


def resumed(one, trial, step=STEP):
    """Whether some attempt went on from `step` or later: the last may have had nothing left to train."""
    return max(record.get("resumed_from_step") or 0 for record in one.attempts(trial)) >= step


@pytest.mark.parametrize("how", [(), ("--batch",), ("--full",)], ids=["step", "batch", "full"])
@pytest.mark.parametrize("name", ["USR2", "TERM"])
def test_scancel_with_a_signal(cluster, sweep, expected, how, name):
    def inject(one, trial):
        cluster.run("scancel", *how, f"--signal={name}", one.address(trial))
        one.waits("a second attempt", lambda: len(one.attempts(trial)) == 2 or one.adapters())

    one, trial, causes = survives(cluster, sweep, expected, inject)
    if len(causes[trial]) > 1:
        # srun dies of TERM, and Slurm then kills what has not saved within seconds: back to the last checkpoint.
        assert resumed(one, trial, 4 if how == ("--full",) and name == "TERM" else STEP)


def preempt(cluster, one, trial):
    """A job that matters more takes the trial's whole node."""
    node = one.attempts(trial)[-1]["host"]
    command = ("sbatch", "--parsable", "--partition=high", f"--nodelist={node}", "--exclusive", "--output=/dev/null", "--wrap=sleep 3")
    job = cluster.run(*command).strip()
    one.waits("the high job ran", lambda: "COMPLETED" in cluster.run("scontrol", "show", "job", job), 60)


@pytest.mark.parametrize("canary", ["true", "false"], ids=["job", "array"])
@pytest.mark.parametrize("sends", ["yes", "no"], ids=["signal", "silent"])
def test_preemption(cluster, sweep, expected, sends, canary):
    cluster.script("start", PREEMPT_SIGNAL=sends)
    whole = expected(TWO)
    one = sweep(TWO)
    one.launch(f"hydra.launcher.canary={canary}")
    preempted = []
    for trial in whole:
        one.reaches(trial, STEP)
        if canary == "false" or one.attempts(trial)[-1]["job"].get("array_id") is None:
            preempt(cluster, one, trial)
            preempted.append(trial)
            break
    one.ends()
    one.drains()
    causes = one.finished_once(whole)
    print(f"\npreempted {preempted}: {causes}")
    for trial in preempted:
        assert len(causes[trial]) == 2
        assert resumed(one, trial, STEP if sends == "yes" else 4)
        assert causes[trial][0] != "finished"


def test_requeued_by_hand(cluster, sweep, expected):
    def inject(one, trial):
        cluster.run("scontrol", "requeue", one.address(trial))

    one, trial, causes = survives(cluster, sweep, expected, inject)
    assert len(causes[trial]) == 2
    assert resumed(one, trial, 4)


def test_a_short_trial_requeued_runs_once(cluster, sweep, expected):
    """The job is requeued at the moment in which its result is published: it runs again and finds nothing to do."""
    whole = expected(ONE)
    one = sweep(ONE)
    one.launch("hydra.launcher.canary=false")
    (trial,) = whole
    one.waits("an attempt", lambda: one.attempts(trial))
    address = one.address(trial)
    one.waits("the adapter", one.adapters, 120)
    cluster.run("scontrol", "requeue", address)
    one.ends()
    one.drains()
    causes = one.finished_once(whole)
    print(f"\n{causes[trial]}")
    assert sum("training" in record for record in one.attempts(trial)) == 1


def test_sigterm_from_a_person(cluster, sweep, expected):
    def inject(one, trial):
        (worker,) = cluster.processes(one.job(trial))["worker"]
        os.kill(worker, signal.SIGTERM)

    one, trial, causes = survives(cluster, sweep, expected, inject)
    assert causes[trial] == ["signal", "finished"]
    assert resumed(one, trial)


def test_time_limit_shorter_than_the_run(cluster, sweep, expected):
    options = ("hydra.launcher.canary=false", "hydra.launcher.timeout_min=1", "hydra.launcher.signal_delay_s=20")
    one, trial, causes = survives(cluster, sweep, expected, lambda *_: None, arguments=LONG, options=options)
    assert len(causes[trial]) >= 2
    assert resumed(one, trial, 40)
