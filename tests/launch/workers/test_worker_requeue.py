"""A worker's job put back into the queue, or not."""

import dataclasses
import json

import pytest

from persona_exp.launch.recovery.failed_nodes import note_failed_node
from persona_exp.launch.slurm import slurm_queue
from persona_exp.launch.workers import worker_requeue
from persona_exp.launch.workers.worker_loop import FAILED, INTERRUPTED, Worker
from persona_exp.launch.workers.worker_requeue import requeue_away_from_failed_node, requeue_worker
from persona_exp.launch.workers.worker_tasks import tasks_of_submission
from tests.launch.rehearsed import recorded_trial, submitted

OWN, STOLEN, OTHER = (f"{name * 12}/seals/0a1b2c3d.json" for name in "abc")
STOPPED = {"status": "interrupted", "cause": "signal"}


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A submission to Slurm of which this process is a job, on node1."""
    one = submitted(tmp_path, [[OWN], [STOLEN], [OTHER]])
    one = dataclasses.replace(one, launcher="slurm", options={**one.options, "sbatch": {"partition": "gpu"}})
    variables = {"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": one.job_name, "SLURMD_NODENAME": "node1", "SLURM_RESTART_COUNT": "0"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return one


@pytest.fixture
def requeued(monkeypatch):
    """The nodes that each requeue was to keep away from."""
    calls = []
    monkeypatch.setattr(worker_requeue, "requeue_this_job", lambda exclude=(): calls.append(list(exclude)) or True)
    return calls


def nodes(monkeypatch, *known):
    monkeypatch.setattr(slurm_queue, "nodes", lambda partition, **_: set(known) if partition == "gpu" else set())


def fail(made, host, *boots):
    for boot in boots:
        note_failed_node(made.sweep_folder, {"host": host, "process_started": f"{boot}:1"})


def test_where_its_node_failed_twice_it_goes_to_another(made, requeued, monkeypatch):
    nodes(monkeypatch, "node1", "node2", "node3")
    fail(made, "node1", "a")
    assert not requeue_away_from_failed_node(made)
    fail(made, "node1", "b")
    fail(made, "node2", "a", "b")
    assert requeue_away_from_failed_node(made)
    assert requeued == [["node1", "node2"]]


@pytest.mark.parametrize(
    ("known", "failed", "sbatch"),
    [
        (["node1"], ["node1"], {}),
        (["node1", "node2"], ["node1", "node2"], {}),
        (["node1", "node2"], ["node1"], {"nodelist": "node1"}),
        # Slurm does not tell.
        ([], ["node1"], {}),
    ],
)
def test_where_there_is_no_other_node_it_stays(made, requeued, monkeypatch, known, failed, sbatch):
    nodes(monkeypatch, *known)
    made.options["sbatch"] |= sbatch
    for host in failed:
        fail(made, host, "a", "b")
    assert not requeue_away_from_failed_node(made)
    assert not requeued


def test_started_there_once_more_it_stays(made, requeued, monkeypatch):
    nodes(monkeypatch, "node1", "node2")
    fail(made, "node1", "a", "b")
    assert requeue_away_from_failed_node(made)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert not requeue_away_from_failed_node(made)
    assert len(requeued) == 1
    monkeypatch.setenv("SLURM_JOB_ID", "8")
    assert requeue_away_from_failed_node(made)


@pytest.fixture
def again(monkeypatch):
    """What was submitted anew where jobs cannot be requeued."""
    tasks = []
    monkeypatch.setattr(worker_requeue, "cancelled_by_user", lambda: False)
    monkeypatch.setattr(worker_requeue, "requeue_this_job", lambda exclude=(): False)
    monkeypatch.setattr(worker_requeue, "submit_again", lambda submission, seals: tasks.append(list(seals)) or "9")
    return tasks


class Stopped:
    """A child that was told to stop."""

    signalled = "SIGUSR2"


def trial(made, seal, *records):
    folder = made.runs / "trials" / seal.split("/")[0]
    recorded_trial(made.runs, *records).path.rename(folder)


def test_what_it_leaves_open_is_submitted_anew_whatever_was_planned_for_it(made, again):
    trial(made, OWN, {"status": "finished"})
    trial(made, STOLEN, STOPPED)
    trial(made, OTHER)
    worker = Worker(tasks_of_submission(made), Stopped())
    worker._ran |= {OWN, STOLEN}
    assert worker.run() == INTERRUPTED
    assert again == [[STOLEN]]


def test_where_nothing_is_open_nothing_is_submitted(made, again):
    assert requeue_worker(made, []) is None
    trial(made, OWN, {"status": "finished"})
    assert Worker(tasks_of_submission(made), Stopped()).run() == INTERRUPTED
    assert again == []


def test_a_trial_that_was_stopped_once_too_often_does_not_come_back(made, again):
    trial(made, OWN, *[STOPPED] * 10)
    worker = Worker(tasks_of_submission(made), Stopped())
    assert list(worker._runnable([OWN])) == []
    assert worker.run() == FAILED
    assert again == []
    last = json.loads((made.runs / "trials" / OWN.split("/")[0] / "attempts" / "0010.json").read_text())
    assert (last["status"], last["cause"]) == ("failed", "signal")
    assert "hydra.launcher.timeout_min" in last["message"]
