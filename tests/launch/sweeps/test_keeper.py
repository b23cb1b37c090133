"""The keeper: submits what was lost, outlasts refusals, gives up what gets no further, and writes the end."""

import os
from pathlib import Path
from typing import Any

import pytest

from persona_exp.launch.judgement.observer import Observer
from persona_exp.launch.slurm import queue, submit
from persona_exp.launch.sweeps import arrays, keeper, submission
from persona_exp.launch.sweeps.keeper import keep, tend
from tests.launch.sweeps.commands import TRIALS, Commands, repair

pytestmark = pytest.mark.long

TIMED_OUT = "Socket timed out on send/recv operation"


def without_keeper(full: Commands) -> submission.Submission:
    """A submission whose jobs Slurm has lost, with no keeper behind them."""
    assert full.run("hydra.launcher.wait=false")[0] == 0
    full.site.run("fakeslurm", "clear")
    return full.submissions()[0]


def test_the_keeper_submits_what_was_lost_and_its_next_writes_the_end(full: Commands) -> None:
    assert full.run("hydra.launcher.wait=false")[0] == 0
    jobs = submission.jobs(full.submissions()[0])
    full.site.run("fakeslurm", "lose", jobs["arrays"][0]["id"])
    repair(full)
    full.site.until(lambda: full.finished() == TRIALS, 60)
    first, second = full.submissions()
    assert (first.by["who"], second.by["who"]) == ("person", "keeper")
    full.site.until(lambda: not queue.queued([second.keeper_name]), 60)
    (log,) = [path for path in (second.folder / "logs").iterdir() if "ended" in path.read_text()]
    assert "missing" not in log.read_text()


def test_a_job_that_slurm_holds_since_its_launch_failed_is_let_go(full: Commands, capsys: pytest.CaptureFixture[str]) -> None:
    assert full.run("hydra.launcher.wait=false", "hydra.launcher.keeper=false")[0] == 0
    (job,) = full.jobs()
    full.site.run("fakeslurm", "botch", job.label)
    repair(full)
    assert (full.finished(), full.jobs()[0].reason) == (0, "launch failed requeued held")
    assert tend(full.sweep, Observer(5)).what == "going"
    assert f"Slurm could not launch job {job.label} and holds it; released." in capsys.readouterr().out
    full.site.until(lambda: full.finished() == TRIALS, 60)


def test_a_keeper_that_finds_other_jobs_comes_back_after_them(full: Commands) -> None:
    assert full.run("hydra.launcher.wait=false", "hydra.launcher.keeper=false")[0] == 0
    assert keep(full.sweep, poll_seconds=0.1) == 0
    (keeper,) = queue.queued([full.submissions()[0].keeper_name]) or []
    assert keeper.reason == "Dependency"


def test_rounds_that_bring_nothing_are_given_up(full: Commands, capfd: pytest.CaptureFixture[str]) -> None:
    code, output = full.run("hydra.launcher.wait=false", "hydra.launcher.max_rounds=2")
    assert code == 0, output
    what = []
    for _ in range(3):
        full.site.run("fakeslurm", "clear")
        what.append(tend(full.sweep, Observer(1)).what)
    assert what == ["submitted", "submitted", "given up"]
    assert keep(full.sweep, poll_seconds=0.1) == 1
    told = capfd.readouterr().out
    assert f"{TRIALS} of {TRIALS} trials are missing" in told
    assert "missing: seed=0" in told


def test_what_a_site_has_no_room_for_comes_in_a_later_round(commands: Commands) -> None:
    commands.site.run("fakeslurm", "set", "max_submit_jobs", "3")
    try:
        code, output = commands.run()
    finally:
        commands.site.run("fakeslurm", "set", "max_submit_jobs", "0")
    assert code == 0, output
    assert commands.finished() == TRIALS


def test_a_keeper_that_is_refused_waits_and_asks_again(full: Commands, capsys: pytest.CaptureFixture[str]) -> None:
    without_keeper(full)
    # More often than rounds may bring nothing.
    for said in [TIMED_OUT] * 4:
        full.site.run("fakeslurm", "refuse", said)
    assert keep(full.sweep, poll_seconds=0.1) == 0
    assert capsys.readouterr().out.count(TIMED_OUT) == 1
    *refused, made = full.submissions()[1:]
    assert [submission.jobs(one)["arrays"] for one in refused] == [[]] * 4
    assert submission.jobs(made)["keeper"]
    repair(full)
    full.site.until(lambda: full.finished() == TRIALS, 60)


def test_a_keeper_whose_successor_is_refused_stays_until_there_is_one(full: Commands, tmp_path: Path, monkeypatch: Any) -> None:
    without_keeper(full)
    # The array is taken, the keeper behind it is not, nor at the next look.
    refusing, count = tmp_path / "refusing", tmp_path / "count"
    refusing.mkdir()
    script = refusing / "sbatch"
    script.write_text(
        f'#!/bin/sh\nexport PATH=${{PATH#{refusing}:}}\ncase "$*" in */keeper.sbatch) echo >> {count}; '
        f'if [ $(wc -l < {count}) -le 2 ]; then echo "sbatch: error: {TIMED_OUT}" >&2; exit 1; fi;; esac\nexec sbatch "$@"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{refusing}:{os.environ['PATH']}")
    assert keep(full.sweep, poll_seconds=0.1) == 0
    made = full.submissions()[-1]
    assert (made.number, submission.jobs(made)["keeper"], count.read_text()) == (2, None, "\n" * 3)
    (waiting,) = queue.queued([made.keeper_name]) or []
    assert waiting.reason == "Dependency"


def test_a_keeper_that_asked_long_enough_puts_itself_back(full: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    without_keeper(full)
    asked: list[bool] = []

    def requeued() -> bool:
        asked.append(True)
        return len(asked) > 1

    monkeypatch.setattr(keeper, "requeue_this_job", requeued)
    monkeypatch.setattr(keeper, "this_job", lambda: {"id": "1", "name": "mine"})
    for module in (keeper, arrays):
        monkeypatch.setattr(module, "submit_keeper", no_room)
    assert keep(full.sweep, poll_seconds=0.1, stay_seconds=0.3) == 0
    assert len(asked) == 2
    assert len(full.submissions()) == 2
    # By hand, outside a job.
    monkeypatch.setattr(keeper, "requeue_this_job", lambda: False)
    monkeypatch.setattr(keeper, "this_job", lambda: None)
    assert keep(full.sweep, poll_seconds=0.1, stay_seconds=0.3) == 2


def no_room(*_: Any, **__: Any) -> str:
    raise submit.Full("Slurm did not take keeper.sbatch: Job violates accounting/QOS policy.")


@pytest.mark.parametrize(("limit", "trials"), [(3, 5), (2, 3)])
def test_under_a_limit_on_jobs_the_keepers_alone_bring_it_to_the_end(commands: Commands, limit: int, trials: int) -> None:
    commands.site.run("fakeslurm", "set", "max_submit_jobs", str(limit))
    try:
        code, output = commands.run("hydra.launcher.wait=false", trials=trials)
        assert code == 0, output
        commands.site.until(lambda: commands.finished() == trials, 120)
        commands.site.until(lambda: not queue.queued([one.keeper_name for one in commands.submissions()]), 60)
    finally:
        commands.site.run("fakeslurm", "set", "max_submit_jobs", "0")
    # With room for two, a running keeper and one task, there is none for a second keeper: the first stays.
    assert limit == 2 or all(submission.jobs(one)["keeper"] for one in commands.submissions())
    assert any("ended" in path.read_text() for one in commands.submissions() for path in (one.folder / "logs").iterdir())
