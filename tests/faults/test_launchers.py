"""What befalls the one who launched: killed, doubled, detached, wrong about a trial, or of another mind."""

import json
import os
import shutil
import signal
import time

import pytest

from tests.faults.cluster import PATIENCE
from tests.faults.sweep import ONE, TWO
from tests.faults.test_signals import STEP, preempt, resumed, survives

pytestmark = [pytest.mark.slurm, pytest.mark.faults]

PLAIN = "hydra.launcher.canary=false"


def test_launcher_killed_and_started_again(cluster, sweep, expected):
    whole = expected(TWO)
    one = sweep(TWO)
    one.launch()
    one.reaches(next(iter(whole)), STEP)
    one.kill()
    one.launch()
    said = one.ends()
    one.drains()
    causes = one.finished_once(whole)
    assert all(causes[trial] == ["finished"] for trial in whole), causes
    one.reported()
    print(f"\n{said[:600]}")


def test_launcher_killed_and_never_started_again(cluster, sweep, expected):
    """Jobs are preempted and killed with nobody there: the last job brings the sweep to its end, and writes the report."""
    whole = expected(ONE)
    one = sweep(ONE)
    one.launch(PLAIN)
    (trial,) = whole
    one.reaches(trial, STEP)
    one.kill()
    for pids in cluster.processes(one.job(trial)).values():
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
    # Slurm finds out by itself, within a minute or two, that a step without its slurmstepd is lost.
    one.reported(240)
    one.drains()
    causes = one.finished_once(whole)
    print(f"\n{causes}")
    assert len(causes[trial]) == 2


def test_interrupt_only_detaches(cluster, sweep, expected):
    whole = expected(ONE)
    one = sweep(ONE)
    process = one.launch()
    (trial,) = whole
    one.reaches(trial, 2)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20 * PATIENCE) in (0, 75)
    one.drains(180)
    assert one.finished_once(whole)[trial] == ["finished"]
    one.reported()


@pytest.mark.parametrize("apart", [0.0, 0.4, 3.0])
def test_two_launchers_at_once(cluster, sweep, expected, apart):
    """The second thinks that it is another machine on the same file system."""
    whole = expected(TWO)
    one = sweep(TWO)
    one.launch()
    time.sleep(apart)
    one.launch(prefix=("unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh"))
    one.ends(number=0)
    one.ends(number=1)
    one.drains()
    causes = one.finished_once(whole)
    assert all(found == ["finished"] for found in causes.values()), causes


def test_one_trial_fails(cluster, sweep, expected):
    right = "lora.target_modules=[q_proj]"
    whole = expected((*ONE, right))
    one = sweep((*ONE, f"{right},[no_such_projection]"))
    one.launch(PLAIN)
    one.ends(1)
    one.drains()
    assert one.adapters() == whole
    (failed,) = [trial for trial in one.trials() if trial not in whole]
    (record,) = one.attempts(failed)
    assert record["status"] == "failed"
    assert "failed" in one.reported().read_text()
    states = cluster.run("sacct", "-D", "--noheader", "--parsable2", "-X", "--format=JobID,State,ExitCode", f"--jobs={one.job(failed)}")
    assert "FAILED" in states
    status = one.cli("status", one.name())
    assert "no_such_projection" in status.stdout, status.stdout + status.stderr
    # As long as nobody edits the code: another seal is another try.
    again = one.launch(PLAIN)
    assert again.wait(timeout=60 * PATIENCE) == 1
    assert len(one.attempts(failed)) == 1


def test_cancelled_is_never_requeued(cluster, sweep, expected):
    whole = expected(ONE)
    one = sweep(ONE)
    launcher = one.launch(PLAIN)
    (trial,) = whole
    one.reaches(trial, STEP)
    done = one.cli("cancel", one.name())
    assert done.returncode == 0, done.stdout + done.stderr
    one.drains(60)
    time.sleep(12)
    assert not cluster.jobs()
    assert launcher.wait(timeout=60 * PATIENCE) != 0
    (record,) = one.attempts(trial)
    assert record["status"] in ("interrupted", "cancelled")
    (told,) = [found for found in json.loads(one.cli("status", one.name(), "--json").stdout)["trials"] if found["trial_id"] == trial]
    assert told["status"] == "cancelled"
    one.launch(PLAIN)
    one.ends()
    one.drains()
    assert resumed(one, trial, STEP)
    assert one.adapters() == whole


def test_scancelled_by_hand_is_not_requeued_by_the_job(cluster, sweep, expected):
    """Slurm's own word for it; the keeper cannot know that a person meant it, and a round later the trial goes on."""
    whole = expected(ONE)
    one = sweep(ONE)
    one.launch(PLAIN)
    (trial,) = whole
    one.reaches(trial, STEP)
    job = one.job(trial)
    cluster.run("scancel", one.address(trial))
    one.waits("the job is over", lambda: "CANCELLED" in cluster.run("scontrol", "show", "job", job, check=False))
    code = one.launchers[-1].wait(timeout=240 * PATIENCE)
    one.drains()
    states = cluster.run("sacct", "-D", "--noheader", "--parsable2", "-X", "--format=JobID,State", f"--jobs={job}")
    assert states.count(job) <= 1 or "REQUEUED" not in states, states
    print(f"\nlauncher: {code}; {one.attempts(trial)[-1]['status']}, {len(one.attempts(trial))} attempts; {states}")


def test_without_accounting(cluster, sweep, expected):
    cluster.script("start", ACCOUNTING="no")

    def inject(one, trial):
        preempt(cluster, one, trial)
        one.waits("a second attempt", lambda: len(one.attempts(trial)) == 2)
        for pid in cluster.processes(one.job(trial))["child"]:
            os.kill(pid, signal.SIGKILL)

    _, trial, causes = survives(cluster, sweep, expected, inject)
    assert len(causes[trial]) == 3


def test_without_scontrol_on_the_nodes(cluster, sweep, expected, tmp_path):
    """A job that cannot requeue itself is submitted anew."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sbatch", "squeue", "sacct", "scancel", "sinfo", "srun"):
        (folder / name).symlink_to(shutil.which(name))
    for name in (
        "bash",
        "sh",
        "env",
        "cat",
        "hostname",
        "date",
        "mkdir",
        "sleep",
        "dirname",
        "basename",
        "uname",
        "id",
        "rm",
        "cp",
        "nproc",
    ):
        (folder / name).symlink_to(shutil.which(name))

    def inject(one, trial):
        cluster.run("scancel", "--full", "--signal=USR2", one.address(trial))

    options = (PLAIN, f"hydra.launcher.setup=['export PATH={folder}']")
    one, trial, causes = survives(cluster, sweep, expected, inject, options=options)
    assert causes[trial] == ["signal", "finished"]
    assert resumed(one, trial)
