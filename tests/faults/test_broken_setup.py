"""Jobs that end before their Python begins: a broken setup, no interpreter, no folder for the log."""

import shutil

import pytest

from tests.faults.sweep import TWO, changed

pytestmark = [pytest.mark.slurm, pytest.mark.faults]

SHORT = changed(TWO, "train.max_steps=4", "evaluation.generated_items=0")
BROKEN = 'hydra.launcher.setup=["conda activate nope || exit 3"]'
# Several tasks, with a canary; and one, without.
APART, TOGETHER = ("hydra.launcher.trials_per_task=1",), ()
MENDED = 'hydra.launcher.setup=["true"]'


def all_jobs(cluster):
    """Every job of ours that ever started."""
    told = cluster.run("sacct", "-D", "-X", "--noheader", "--parsable2", "--format=JobID,JobName,State,Start")
    return {tuple(line.split("|")) for line in told.splitlines() if "|pe-" in line and line.rsplit("|", 1)[1][:1].isdigit()}


@pytest.mark.parametrize(("wait", "tasks"), [("true", APART), ("false", APART), ("true", TOGETHER)])
def test_a_broken_setup_ends_after_one_job_and_the_mended_command_goes_on(cluster, sweep, wait, tasks):
    before = all_jobs(cluster)
    one = sweep((*SHORT, *tasks))
    one.launch(BROKEN, f"hydra.launcher.wait={wait}")
    said = one.ends(1 if wait == "true" else 0)
    one.drains()
    one.waits("sacct knows of it", lambda: all_jobs(cluster) - before)
    started = all_jobs(cluster) - before
    assert len(started) == 1, started
    assert len(list(one.runs.glob("sweeps/*/submissions/*.json"))) == 1
    assert not list(one.runs.glob("trials/*/attempts/*.json"))
    for trial in one.trials():
        told = one.cli("why", trial).stdout
        assert "conda: command not found" in told, told
        assert "exit code 3" in told
        assert "logs/" in told
    if wait == "true":
        assert "conda: command not found" in said
    one.launch(MENDED)
    one.ends()
    one.drains()
    assert len(one.adapters()) == 2


def test_without_a_canary_there_is_one_round(cluster, sweep):
    one = sweep((*SHORT, *APART))
    one.launch(BROKEN, "hydra.launcher.canary=false")
    said = one.ends(1)
    one.drains()
    assert "conda: command not found" in said
    assert len(list(one.runs.glob("sweeps/*/submissions/*.json"))) == 1


def test_a_missing_log_folder_is_one_round_and_named(cluster, sweep):
    nodes = cluster.run("sinfo", "-h", "-p", "main", "-o", "%N").strip()
    one = sweep(SHORT)
    cluster.run("scontrol", "update", f"nodename={nodes}", "state=drain", "reason=test")
    launcher = one.launch()
    logs = one.waits("it is submitted", lambda: next(iter(one.runs.glob("sweeps/*/submissions/0001/jobs.json")), None)).parent / "logs"
    one.waits("all of it is", lambda: '"complete": true' in (logs.parent / "jobs.json").read_text())
    shutil.rmtree(logs)
    logs.write_text("no folder")
    cluster.run("scontrol", "update", f"nodename={nodes}", "state=resume")
    assert launcher.wait(timeout=300) == 1
    said = one.log().read_text()
    assert "before its Python began and left no log" in said, said
    assert len(list(one.runs.glob("sweeps/*/submissions/*.json"))) == 1
