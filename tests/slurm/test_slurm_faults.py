"""Faults that only the fake can bring about at will, and that the launcher's tests build on."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from persona_exp.errors import UserError
from persona_exp.launch.slurm import site_limits, slurm_accounting, slurm_command, slurm_queue, submit_and_cancel
from tests.slurm.site import fake_site
from tests.slurm.test_slurm_contract import Bench

Make = Callable[..., Bench]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """`bench(accounting=False)`: a fake of these settings, and jobs on it."""
    with ExitStack() as stack:

        def make(**settings: Any) -> Bench:
            site = stack.enter_context(fake_site(tmp_path / "slurm", kill_wait=5, **settings))
            for name, value in site.environment.items():
                monkeypatch.setenv(name, value)
            return Bench(site, tmp_path)

        yield make


def test_accounting_that_is_off(bench: Make) -> None:
    made = bench(accounting=False)
    id = made.submit("--requeue", array=(0, 0))
    made.wait("start", "parent-0-0")
    assert slurm_accounting.history([id]) is None
    submit_and_cancel.cancel([id])
    last = made.wait("SIGTERM", "parent-0-0")
    assert (last["cancelled"], last["requeued"]) == (True, False)


def test_no_scontrol_on_compute_nodes(bench: Make) -> None:
    made = bench(accounting=False, scontrol_in_jobs=False)
    id = made.submit("--requeue")
    made.wait("start")
    made.site.run("scancel", "--signal=USR2", id)
    asked = made.wait("SIGUSR2")
    assert (asked["cancelled"], asked["requeued"]) == (False, False)
    submit_and_cancel.cancel([id])
    assert made.wait("SIGTERM")["cancelled"] is True


def test_a_lost_job_leaves_no_trace_and_its_id_is_given_away_again(bench: Make) -> None:
    made = bench()
    id = made.submit()
    made.wait("start")
    made.site.run("fakeslurm", "lose", id)
    assert slurm_queue.queued([made.name]) == []
    assert slurm_accounting.history([id]) == []
    assert made.submit("--seconds=0") == id


def test_a_job_that_runs_twice(bench: Make) -> None:
    made = bench()
    id = made.submit("--seconds=60")
    first = made.wait("start")
    made.site.run("fakeslurm", "duplicate", id)
    second = made.wait("start", "parent-1")
    assert second["job"] == {**first["job"], "restarts": 1}
    assert second["node"] != first["node"]
    assert [event["event"] for event in made.events()] == ["start"]


def test_a_node_that_is_lost_to_slurm_alone_goes_on_computing(bench: Make) -> None:
    made = bench()
    made.submit("--seconds=3")
    node = made.wait("start")["node"]
    made.site.run("fakeslurm", "fail", node, "leave")
    assert made.wait("start", "parent-1")["node"] != node
    made.wait("end")


def test_a_controller_that_refuses_or_never_answers(bench: Make) -> None:
    made = bench(max_submit_jobs=10)
    made.site.run("fakeslurm", "refuse", "Unable to contact slurm controller (connect failure)")
    with pytest.raises(UserError, match="the same command later goes on"):
        made.submit()
    with pytest.raises(UserError, match="job submit limit"):
        made.submit(array=(0, 10))
    assert site_limits.limits("low").max_submit_jobs == 10
    made.site.run("fakeslurm", "mute", "60")
    assert slurm_command.ask(["squeue", "--me", "--format=%i"], seconds=0.5) is None
    assert sum(call.startswith("sbatch") for call in made.site.run("fakeslurm", "calls").splitlines()) == 2


def test_a_preemption_without_the_jobs_own_signal(bench: Make) -> None:
    made = bench(preempt_signal=False, accounting=False)
    id = made.submit("--requeue", "--blind")
    made.wait("start")
    made.site.preempt(id)
    # Its TERM comes while the job still counts as running: there is time to save, and to ask to be put back.
    last = made.wait("SIGTERM")
    assert (last["cancelled"], last["requeued"]) == (False, True)
    assert made.wait("start", "parent-1")["job"]["restarts"] == 1


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Socket timed out on send/recv operation", submit_and_cancel.Busy),
        ("Unable to contact slurm controller (connect failure)", submit_and_cancel.Busy),
        ("Slurm temporarily unable to accept job, sleeping and retrying", submit_and_cancel.Busy),
        ("Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)", submit_and_cancel.Full),
        ("Invalid partition name specified", submit_and_cancel.Refused),
    ],
)
def test_what_may_work_later_is_told_from_what_never_will(bench: Make, said: str, kind: type[submit_and_cancel.Refused]) -> None:
    made = bench()
    made.site.run("fakeslurm", "refuse", said)
    with pytest.raises(submit_and_cancel.Refused, match=re.escape(said)) as refused:
        made.submit()
    assert type(refused.value) is kind


def test_a_controller_that_is_down_is_busy(bench: Make) -> None:
    made = bench()
    id = made.submit()
    with made.site.controller_down():
        for ask in (made.submit, lambda: submit_and_cancel.release(id), lambda: submit_and_cancel.cancel([id])):
            with pytest.raises(submit_and_cancel.Busy):
                ask()


def test_every_task_in_the_queue_counts_against_the_limit(bench: Make) -> None:
    made = bench(max_submit_jobs=20)
    made.submit("--seconds=60")
    made.wait("start")
    made.submit("--seconds=60", array=(0, 11))
    assert slurm_queue.count() == 13
    assert site_limits.limits("low").queued == 13
    assert slurm_queue.nodes("low") == {"node1", "node2", "node3"}


def test_what_run_py_has_set_for_itself_reaches_no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setenv("HYDRA_OTHER", "1")
    assert "HYDRA_FULL_ERROR" not in slurm_command.environment()
    assert "HYDRA_OTHER" in slurm_command.environment()
