"""What befalls a cluster: processes killed outright, nodes that go down, daemons that die."""

import os
import shutil
import signal
import time

import pytest

from tests.faults.cluster import until
from tests.faults.sweep import LONG, ONE, seconds_since
from tests.faults.test_signals import STEP, resumed, survives

pytestmark = [pytest.mark.slurm, pytest.mark.faults]

PLAIN = "hydra.launcher.canary=false"


@pytest.mark.parametrize("victims", [("child",), ("worker",), ("worker", "child")], ids=["child", "worker", "both"])
def test_kill_of_python(cluster, sweep, expected, victims):
    def inject(one, trial):
        found = cluster.processes(one.job(trial))
        for pid in [pid for kind in victims for pid in found[kind]]:
            os.kill(pid, signal.SIGKILL)

    one, trial, causes = survives(cluster, sweep, expected, inject)
    assert len(causes[trial]) == 2
    assert resumed(one, trial, 4)


@pytest.mark.parametrize("saving", [False, True], ids=["training", "saving"])
def test_node_set_down(cluster, sweep, expected, saving):
    def inject(one, trial):
        record = one.saves(trial, STEP) if saving else one.attempts(trial)[-1]
        cluster.run("scontrol", "update", f"nodename={record['host']}", "state=down", "reason=test")
        one.waits("a second attempt", lambda: len(one.attempts(trial)) == 2, 90)
        cluster.run("scontrol", "update", f"nodename={record['host']}", "state=resume")

    one, trial, causes = survives(cluster, sweep, expected, inject)
    assert len(causes[trial]) == 2
    assert resumed(one, trial, 4)


def test_kill_of_slurmd(cluster, sweep, expected):
    """Slurm starts the job elsewhere while the old Python still runs: the old one publishes nothing and stops."""

    def inject(one, trial):
        record = one.attempts(trial)[-1]
        job, node = one.job(trial), record["host"]
        cluster.kill_daemon(f"slurmd.{node}")
        one.waits("a second attempt", lambda: len(one.attempts(trial)) == 2, 120)
        assert record["pid"] in cluster.processes(job, node=node)["child"], "the old child was gone already: nothing was proved"
        until("the old child is gone", lambda: not cluster.processes(job, node=node)["child"], 30)
        assert one.attempts(trial)[0]["status"] == "interrupted"

    _, trial, causes = survives(cluster, sweep, expected, inject, arguments=LONG)
    assert causes[trial] == ["superseded", "finished"]


def test_kill_of_slurmstepd(cluster, sweep, expected):
    """The job ends but Slurm believes it running; when its node goes down, Slurm runs it again: it finds nothing to do."""
    whole = expected(ONE)
    one = sweep(ONE)
    one.launch(PLAIN)
    (trial,) = whole
    record = one.reaches(trial, STEP)
    job, address = one.job(trial), one.address(trial)
    for pid in cluster.processes(job)["stepd"]:
        os.kill(pid, signal.SIGKILL)
    one.ends()
    assert one.adapters() == whole
    before = len(one.attempts(trial))
    stuck = any(found[0] == address for found in cluster.jobs())
    cluster.run("scontrol", "update", f"nodename={record['host']}", "state=down", "reason=test")
    time.sleep(2)
    cluster.run("scontrol", "update", f"nodename={record['host']}", "state=resume")
    one.drains()
    causes = one.finished_once(whole)
    assert len(causes[trial]) == before
    print(f"\nSlurm said it ran on: {stuck}; attempts: {causes[trial]}")


def test_slurmctld_restart(cluster, sweep, expected):
    def inject(one, trial):
        cluster.kill_daemon("slurmctld")
        time.sleep(5)
        cluster.script("start")

    _, trial, causes = survives(cluster, sweep, expected, inject)
    assert causes[trial] == ["finished"]


def test_slurmctld_loses_the_job_and_gives_its_id_to_another(cluster, sweep, expected):
    """Killed 3 s after submission, its state is that of before; the job's id is then a stranger's."""
    whole = expected(ONE)
    (trial,) = whole
    state, kept = cluster.folder / "state", cluster.folder / "state-before"
    shutil.rmtree(kept, ignore_errors=True)
    time.sleep(6)
    shutil.copytree(state, kept)
    one = sweep(ONE)
    started = time.monotonic()
    one.launch(PLAIN)
    jobs = one.waits("jobs are in the queue", lambda: {found[0].split("_")[0] for found in cluster.jobs()})
    time.sleep(3)
    cluster.kill_daemon("slurmctld")
    shutil.rmtree(state)
    kept.rename(state)
    cluster.script("start")
    strangers = [
        cluster.run("sbatch", "--parsable", "--job-name=stranger", "--output=/dev/null", "--wrap=sleep 20").strip() for _ in range(3)
    ]
    assert jobs & set(strangers), "no id was used again: nothing was proved"
    one.ends()
    elapsed = seconds_since(started)
    one.drains()
    causes = one.finished_once(whole)
    print(f"\n{elapsed}; ids used again: {sorted(jobs & set(strangers))}; {causes[trial]}")
