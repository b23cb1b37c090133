"""The keeper: submits what was lost, outlasts refusals, gives up what gets no further, and writes the end."""

import errno
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from persona_exp.launch.planning import plan_file
from persona_exp.launch.recovery import sweep_hold
from persona_exp.launch.recovery.heartbeat_lease import Observer
from persona_exp.launch.slurm import slurm_queue, submit_and_cancel
from persona_exp.launch.sweeps import job_arrays, keeper, submission_record
from persona_exp.launch.sweeps.keeper import keep
from persona_exp.launch.sweeps.reconcile import Reconciliation, reconcile
from persona_exp.launch.sweeps.resubmit_lost import _without_room, resubmit_lost
from persona_exp.launch.sweeps.trial_set import SweepTrial
from tests.conftest import ROOT
from tests.launch.sweeps.commands import TRIALS, Commands, attempted, repair

pytestmark = pytest.mark.long

TIMED_OUT = "Socket timed out on send/recv operation"


def without_keeper(full: Commands) -> submission_record.Submission:
    """A submission whose jobs Slurm has lost, with no keeper behind them."""
    assert full.run("hydra.launcher.wait=false")[0] == 0
    full.site.run("fakeslurm", "clear")
    return full.submissions()[0]


def test_the_keeper_submits_what_was_lost_and_its_next_writes_the_end(full: Commands) -> None:
    assert full.run("hydra.launcher.wait=false")[0] == 0
    jobs = submission_record.recorded_jobs(full.submissions()[0])
    full.site.run("fakeslurm", "lose", jobs["arrays"][0]["id"])
    repair(full)
    full.site.until(lambda: full.finished() == TRIALS, 60)
    first, second = full.submissions()
    assert (first.by["who"], second.by["who"]) == ("person", "keeper")
    full.site.until(lambda: not slurm_queue.queued([second.keeper_name]), 60)
    (log,) = [path for path in (second.folder / "logs").iterdir() if "ended" in path.read_text()]
    assert "missing" not in log.read_text()


def test_a_job_that_slurm_holds_since_its_launch_failed_is_let_go(full: Commands, capsys: pytest.CaptureFixture[str]) -> None:
    assert full.run("hydra.launcher.wait=false", "hydra.launcher.keeper=false")[0] == 0
    (job,) = full.jobs()
    full.site.run("fakeslurm", "botch", job.label)
    repair(full)
    assert (full.finished(), full.jobs()[0].reason) == (0, "launch failed requeued held")
    assert resubmit_lost(full.sweep, Observer(5)).what == "going"
    assert f"Slurm could not launch job {job.label} and holds it; released." in capsys.readouterr().out
    full.site.until(lambda: full.finished() == TRIALS, 60)


def test_what_was_lost_is_bundled_again_as_its_launcher_would_have(full: Commands) -> None:
    first = without_keeper(full)
    costs = [replace(one, base="m", brief=False, state_bytes=10) for one in plan_file.read(full.sweep, [task[0] for task in first.tasks])]
    heaviest = replace(costs[-1], work=9.0)
    plan_file.write(full.sweep, [*costs[:-1], heaviest])
    record = json.loads(first.path.read_text())
    record["options"]["launch"]["terms"] |= {"size": 8, "lane_bytes": {"m": 25}, "trials_per_task": None}
    first.path.write_text(json.dumps(record))
    assert resubmit_lost(full.sweep, Observer(1)).what == "submitted"
    second = full.submissions()[1]
    assert [len(task) for task in second.tasks] == [2, 2]
    assert second.tasks[0][0] == heaviest.seals[0]
    assert second.options["launch"]["together"] == [2, 2]
    assert second.options["launch"]["terms"] == record["options"]["launch"]["terms"]


def test_a_keeper_that_finds_other_jobs_comes_back_after_them(full: Commands) -> None:
    assert full.run("hydra.launcher.wait=false", "hydra.launcher.keeper=false")[0] == 0
    assert keep(full.sweep, poll_seconds=0.1) == 0
    (keeper,) = slurm_queue.queued([full.submissions()[0].keeper_name]) or []
    assert keeper.reason == "Dependency"


def test_rounds_that_bring_nothing_are_given_up(full: Commands, capfd: pytest.CaptureFixture[str]) -> None:
    code, output = full.run("hydra.launcher.wait=false", "hydra.launcher.max_rounds=2")
    assert code == 0, output
    what = []
    for _ in range(3):
        full.site.run("fakeslurm", "clear")
        what.append(resubmit_lost(full.sweep, Observer(1)).what)
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
    for refusal in [TIMED_OUT] * 4:
        full.site.run("fakeslurm", "refuse", refusal)
    assert keep(full.sweep, poll_seconds=0.1) == 0
    assert capsys.readouterr().out.count(TIMED_OUT) == 1
    *refused, made = full.submissions()[1:]
    assert [submission_record.recorded_jobs(one)["arrays"] for one in refused] == [[]] * 4
    assert submission_record.recorded_jobs(made)["keeper"]
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
    assert (made.number, submission_record.recorded_jobs(made)["keeper"], count.read_text()) == (2, None, "\n" * 3)
    (waiting,) = slurm_queue.queued([made.keeper_name]) or []
    assert waiting.reason == "Dependency"


def test_a_keeper_that_is_refused_for_good_leaves_the_workers_queued(full: Commands, tmp_path: Path) -> None:
    path = tmp_path / "refusing"
    path.mkdir()
    says = "sbatch: error: Batch job submission failed: Memory specification can not be satisfied"
    refusal = f'case "$*" in */keeper.sbatch) echo "{says}" >&2; exit 1;; esac'
    (path / "sbatch").write_text(f'#!/bin/sh\nexport PATH=${{PATH#{path}:}}\n{refusal}\nexec sbatch "$@"\n')
    (path / "sbatch").chmod(0o755)
    code, output = full.run("hydra.launcher.wait=false", path=path)
    assert code == 0, output
    assert (
        "Memory specification can not be satisfied. The workers are queued, and run. For a keeper correct cluster.keeper_partition"
        in output
    )
    assert [job.name for job in full.jobs()] == [full.submissions()[0].job_name]


def test_what_the_keeper_submits_goes_where_the_person_had_it_go(full: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    full.site.environment |= {"SBATCH_ACCOUNT": "mine", "SBATCH_PARTITION": "low", "SLURM_CLUSTERS": "alps"}
    try:
        code, output = full.run("hydra.launcher.wait=false")
    finally:
        for name in ("SBATCH_ACCOUNT", "SBATCH_PARTITION", "SLURM_CLUSTERS"):
            del full.site.environment[name]
    assert code == 0, output
    assert "From the environment: taken account=mine (SBATCH_ACCOUNT), partition=low (SBATCH_PARTITION)" in output
    full.site.run("fakeslurm", "clear")
    # Inside the keeper's job, which has an environment of its own.
    for name, value in {"SLURM_JOB_ID": "9", "SLURM_CLUSTER_NAME": "alps", "SBATCH_ACCOUNT": "another", "SBATCH_PARTITION": "high"}.items():
        monkeypatch.setenv(name, value)
    assert resubmit_lost(full.sweep, Observer(1)).what == "submitted"
    first, second = full.submissions()
    assert second.job_name.endswith("@alps")
    for made, told in ((first, True), (second, False)):
        for script in ("array-0", "keeper"):
            lines = (made.folder / f"{script}.sbatch").read_text().splitlines()
            assert {"#SBATCH --account=mine", "#SBATCH --partition=low"} <= set(lines)
            assert ("#SBATCH --clusters=alps" in lines) is told


def test_a_keeper_that_asked_long_enough_puts_itself_back(full: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    without_keeper(full)
    asked: list[bool] = []

    def requeued() -> bool:
        asked.append(True)
        return len(asked) > 1

    monkeypatch.setattr(keeper, "requeue_this_job", requeued)
    monkeypatch.setattr(keeper, "this_job", lambda: {"id": "1", "name": "mine"})
    for module in (keeper, job_arrays):
        monkeypatch.setattr(module, "submit_keeper", no_room)
    assert keep(full.sweep, poll_seconds=0.1, stay_seconds=0.3) == 0
    assert len(asked) == 2
    assert len(full.submissions()) == 2
    # By hand, outside a job.
    monkeypatch.setattr(keeper, "requeue_this_job", lambda: False)
    monkeypatch.setattr(keeper, "this_job", lambda: None)
    assert keep(full.sweep, poll_seconds=0.1, stay_seconds=0.3) == 2


def no_room(*_: Any, **__: Any) -> str:
    raise submit_and_cancel.Full("Slurm did not take keeper.sbatch: Job violates accounting/QOS policy.")


@pytest.mark.parametrize(("limit", "trials"), [(3, 5), (2, 3)])
def test_under_a_limit_on_jobs_the_keepers_alone_bring_it_to_the_end(commands: Commands, limit: int, trials: int) -> None:
    commands.site.run("fakeslurm", "set", "max_submit_jobs", str(limit))
    try:
        code, output = commands.run("hydra.launcher.wait=false", trials=trials)
        assert code == 0, output
        commands.site.until(lambda: commands.finished() == trials, 120)
        commands.site.until(lambda: not slurm_queue.queued([one.keeper_name for one in commands.submissions()]), 60)
    finally:
        commands.site.run("fakeslurm", "set", "max_submit_jobs", "0")
    # With room for two, a running keeper and one task, there is none for a second keeper: the first stays.
    assert limit == 2 or all(submission_record.recorded_jobs(one)["keeper"] for one in commands.submissions())
    assert any("ended" in path.read_text() for one in commands.submissions() for path in (one.folder / "logs").iterdir())


def test_a_file_server_that_is_away_for_a_moment_ends_no_keeper(
    full: Commands, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_keeper(full)
    failing, stale = iter([True] * 3), OSError(errno.ESTALE, "Stale file handle")

    def stale_at_first(*arguments: Any) -> Reconciliation:
        if next(failing, False):
            raise stale
        return reconcile(*arguments)

    monkeypatch.setattr("persona_exp.launch.sweeps.resubmit_lost.reconcile", stale_at_first)
    assert keep(full.sweep, poll_seconds=0.1) == 0
    assert capsys.readouterr().out.count("Stale file handle") == 1
    assert submission_record.recorded_jobs(full.submissions()[-1])["keeper"]


def test_a_keeper_at_its_time_limit_that_cannot_be_requeued_leaves_in_order(
    full: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_keeper(full)
    refusing = tmp_path / "refusing"
    refusing.mkdir()
    (refusing / "sbatch").write_text(f'#!/bin/sh\necho "sbatch: error: {TIMED_OUT}" >&2\nexit 1\n')
    (refusing / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{refusing}:{os.environ['PATH']}")
    command = [sys.executable, "-u", "-m", "persona_exp.launch.sweeps.keeper", str(full.sweep)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert "asks again" in process.stdout.readline()
        process.send_signal(signal.SIGUSR2)
        output, _ = process.communicate(timeout=300)
    assert (process.returncode, "The keeper was stopped (SIGUSR2)" in output) == (75, True)


def test_a_sweep_that_is_held_while_the_keeper_stays_ends_with_its_report(full: Commands, capfd: pytest.CaptureFixture[str]) -> None:
    without_keeper(full)
    sweep_hold.create(full.sweep, cause="ValueError", message="three alike", trials=[])
    assert keep(full.sweep, poll_seconds=0.1) == 1
    told = capfd.readouterr().out
    assert "The sweep is held: three alike" in told
    assert f"{TRIALS} of {TRIALS} trials are missing" in told
    assert len(full.submissions()) == 1


def test_a_held_sweep_whose_last_attempt_is_doubtful_ends_when_that_is_dead(full: Commands) -> None:
    without_keeper(full)
    attempted(full, host="elsewhere")
    sweep_hold.create(full.sweep, cause="ValueError", message="three alike", trials=[])
    assert keeper._one_round(full.sweep, Observer(1), 0.0).code is None
    assert keep(full.sweep, poll_seconds=0.5) == 1


def test_only_the_newest_submission_of_a_trial_says_that_there_was_no_room_for_it(tmp_path: Path) -> None:
    a, b, c = (f"{trial * 12}/seals/00000000.json" for trial in "abc")
    made = [plain(tmp_path / "sweeps" / "name", tasks) for tasks in ([[a], [b], [c]], [[b]])]
    submission_record.note_jobs(made[0], {"arrays": [{"id": "1", "first": 0, "size": 1}], "complete": True})
    submission_record.note_jobs(made[1], {"arrays": [{"id": "2", "first": 0, "size": 1}], "complete": True})
    assert _without_room(made[:1]) == {b, c}
    assert _without_room(made) == {c}


def plain(sweep_folder: Path, tasks: list[list[str]]) -> submission_record.Submission:
    made = submission_record.draft(sweep_folder, launcher="slurm", tasks=tasks, options={}, canary=False)
    assert submission_record.create(made)
    return made


def test_an_attempt_that_died_before_it_loaded_a_checkpoint_is_no_progress(tmp_path: Path) -> None:
    attempts = tmp_path / "trials" / "a" / "attempts"
    attempts.mkdir(parents=True)
    (attempts / "0001.json").write_text('{"status": "interrupted", "checkpoint_step": 10}')
    left = (SweepTrial("a/seals/1.json", "a"),)
    seen = Reconciliation(after=1, submissions=(), trials=left, decisions={}, unserved=left, going=(), jobless=(), answered=True)
    before = seen.progress(tmp_path / "sweeps" / "name")
    (attempts / "0002.json").write_text('{"status": "interrupted"}')
    assert seen.progress(tmp_path / "sweeps" / "name") == before == [0, 10]
