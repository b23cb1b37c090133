"""Whether an attempt still runs, as seen from here."""

import os
from types import SimpleNamespace

import pytest

from persona_exp.launch.recovery import heartbeat_lease
from persona_exp.launch.recovery.heartbeat_lease import Observer
from persona_exp.launch.slurm.slurm_queue import Job
from persona_exp.process_identity import node_name, process_started

LEASE = 30.0
# Seconds on the observer's clock.
NOW = [0.0]


@pytest.fixture(autouse=True)
def _clock(monkeypatch):
    monkeypatch.setattr(heartbeat_lease, "time", SimpleNamespace(monotonic=lambda: NOW[0]))


def record(**facts):
    told = {"attempt": 1, "host": "elsewhere", "pid": 1, "process_started": "boot:1", "heartbeat": 0, "status": "running", "job": None}
    return {**told, "trial_id": "0123456789ab", **facts}


def job(id="7", restarts=0):
    return {"id": id, "array_id": None, "task_id": None, "restarts": restarts, "name": "pe-x-1"}


def shown(id="7", state="RUNNING", node="elsewhere"):
    return Job(id, None, None, "pe-x-1", state, "None", node, 60, "")


def observed(observer, one, seconds=LEASE + 0.1):
    """What a second look says after a while."""
    observer.liveness(one)
    NOW[0] += seconds
    return observer.liveness(one)


def test_on_this_host_the_process_tells_at_once():
    own = {"host": node_name(), "pid": os.getpid(), "process_started": process_started(os.getpid())}
    assert Observer().liveness(record(**own)) == "alive"
    assert Observer().liveness(record(**{**own, "process_started": "another boot:1"})) == "dead"


def test_on_this_host_the_lease_decides_of_what_cannot_be_seen():
    hidden = record(host=node_name(), pid=2**22 + 1, pid_namespace=1)
    observer = Observer(LEASE)
    assert observer.liveness(hidden) == "unknown"
    assert observer.liveness({**hidden, "heartbeat": 1}) == "alive"
    assert observed(Observer(LEASE), hidden) == "dead"


def test_a_moving_heartbeat_is_alive():
    observer = Observer(LEASE)
    assert observer.liveness(record()) == "unknown"
    assert observer.liveness(record(heartbeat=1)) == "alive"


def test_a_heartbeat_that_stands_still_for_a_lease_is_dead():
    observer = Observer(LEASE)
    assert observed(observer, record(), seconds=LEASE / 3) == "unknown"
    assert observed(observer, record()) == "dead"


def test_the_lease_is_never_shorter_than_the_attempts_own_beat():
    assert observed(Observer(LEASE), record(heartbeat_seconds=1000.0)) == "unknown"


@pytest.mark.parametrize(
    ("queue", "expected"),
    [
        ([shown()], "alive"),
        ([], "dead"),
        ([shown(state="PENDING", node=None)], "dead"),
        ([shown(node="another")], "dead"),
        ([shown(id="8")], "dead"),
        (None, "unknown"),
    ],
)
def test_the_queue_has_a_word_in_it(queue, expected):
    assert observed(Observer(LEASE, ask=lambda names: queue), record(job=job())) == expected


def test_the_queue_is_asked_once_for_many():
    asked = []
    observer = Observer(60, ask=lambda names: asked.append(names) or [])
    for number in range(100):
        observer.liveness(record(job=job(), trial_id=f"{number}"))
    assert asked == [["pe-x-1"]]


def test_an_earlier_start_of_our_own_job_is_dead_at_once():
    ask = lambda names: pytest.fail("no question")  # noqa: E731
    assert Observer(job=job(restarts=1), ask=ask).liveness(record(job=job())) == "dead"
    assert Observer(job=job(restarts=1), ask=lambda names: None).liveness(record(job=job(id="8"))) == "unknown"
