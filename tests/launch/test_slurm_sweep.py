"""A sweep on Slurm from the person's command: each trial submitted once, whatever happens to launchers, jobs and terminals."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from persona_exp.launch import arrays, canary, keeper, submission
from persona_exp.launch.keeper import keep, tend
from persona_exp.launch.observer import Observer
from persona_exp.launch.slurm import queue, submit
from persona_exp.launch.watch import _release
from tests.conftest import ROOT, environment
from tests.slurm.site import Site, fake_site

pytestmark = pytest.mark.long

TRIALS = 4


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with fake_site(tmp_path_factory.mktemp("fake")) as site:
        yield site


class Commands:
    """The person's command and what came of it."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site, self.folder, self.runs = site, folder, folder / "runs"
        self.calls_before = len(self._calls())

    def start(self, *more: str, trials: int = TRIALS, path: Path | None = None) -> "subprocess.Popen[str]":
        command = [sys.executable, str(ROOT / "run.py"), "-m", f"seed=range({trials})", "engine=noop", "model=tiny", "hydra/launcher=slurm"]
        command += ["cluster=testbed", "hydra.launcher.partition=null", "hydra.launcher.trials_per_task=1", *more]
        told = {**environment(self.folder), **self.site.environment, "PERSONA_EXP_RUNS": str(self.runs), "COLUMNS": "200"}
        if path:
            told["PATH"] = f"{path}:{told['PATH']}"
        return subprocess.Popen(command, cwd=ROOT, env=told, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, *more: str, **settings: Any) -> tuple[int, str]:
        process = self.start(*more, **settings)
        output, _ = process.communicate(timeout=120)
        return process.returncode, output

    @property
    def sweep(self) -> Path:
        (folder,) = (self.runs / "sweeps").iterdir()
        return folder

    def submissions(self) -> list[submission.Submission]:
        return submission.submissions(self.sweep)

    def finished(self) -> int:
        return len(list(self.runs.glob("trials/*/adapter/noop.json")))

    def attempts(self) -> int:
        return len(list(self.runs.glob("trials/*/attempts/*.json")))

    def sbatch_calls(self) -> int:
        return sum(call.startswith("sbatch") for call in self._calls()[self.calls_before :])

    def jobs(self) -> list[queue.Job]:
        return queue.queued([one.job_name for one in self.submissions()]) or []

    def _calls(self) -> list[str]:
        return self.site.run("fakeslurm", "calls").splitlines()


@pytest.fixture
def commands(cluster: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Commands]:
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    yield Commands(cluster, tmp_path)
    for node in ("node1", "node2", "node3"):
        cluster.repair(node)
    cluster.clear()


@pytest.fixture
def full(commands: Commands) -> Commands:
    """A cluster on which nothing starts until its nodes are repaired."""
    for node in ("node1", "node2", "node3"):
        commands.site.fail(node)
    return commands


def repair(commands: Commands) -> None:
    for node in ("node1", "node2", "node3"):
        commands.site.repair(node)


def deadly(folder: Path, *, call: int, after: bool) -> Path:
    """A folder for PATH whose sbatch kills its caller at the given call, before Slurm hears of it or after."""
    path = folder / "deadly"
    path.mkdir()
    script = path / "sbatch"
    count, own = path / "calls", f"export PATH=${{PATH#{path}:}}"
    kill = "kill -9 $PPID"
    act = f'sbatch "$@"; {kill}' if after else kill
    script.write_text(
        f'#!/bin/sh\n{own}\necho >> {count}\nif [ $(wc -l < {count}) -eq {call} ]; then {act}; exit 1; fi\nexec sbatch "$@"\n'
    )
    script.chmod(0o755)
    return path


def test_one_command_runs_every_trial_in_three_calls(commands: Commands) -> None:
    code, output = commands.run()
    assert code == 0, output
    assert commands.finished() == commands.attempts() == TRIALS
    assert commands.sbatch_calls() <= 3
    again, output = commands.run()
    assert again == 0
    assert "submitted" not in output.lower()
    assert len(commands.submissions()) == 1
    assert commands.attempts() == TRIALS


def test_two_launchers_at_once_submit_each_trial_once(full: Commands) -> None:
    launchers = [full.start("hydra.launcher.wait=false") for _ in range(3)]
    outputs = [launcher.communicate(timeout=120)[0] for launcher in launchers]
    assert [launcher.returncode for launcher in launchers] == [0, 0, 0], outputs
    (only,) = full.submissions()
    assert len(set(only.trial_ids)) == len(only.trial_ids) == TRIALS
    assert full.sbatch_calls() == 2
    repair(full)
    code, output = full.run()
    assert code == 0, output
    assert full.finished() == full.attempts() == TRIALS


@pytest.mark.parametrize(("call", "after"), [(1, False), (1, True), (2, False)])
def test_a_launcher_killed_while_it_submits_is_made_good_by_the_next(full: Commands, tmp_path: Path, call: int, after: bool) -> None:
    killed = full.start("hydra.launcher.wait=false", path=deadly(tmp_path, call=call, after=after))
    killed.communicate(timeout=120)
    assert killed.returncode == -signal.SIGKILL
    heard = call > 1 or after
    assert len(full.jobs()) == (1 if heard else 0)
    assert full.run("hydra.launcher.wait=false")[0] == 0
    # What Slurm has heard of is found by its name: nothing of it is submitted twice.
    assert len(full.submissions()) == (1 if heard else 2)
    repair(full)
    code, output = full.run()
    assert code == 0, output
    assert full.finished() == full.attempts() == TRIALS


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM])
def test_a_launcher_that_is_told_to_leave_only_detaches(full: Commands, number: signal.Signals) -> None:
    launcher = full.start()
    full.site.until(lambda: (full.runs / "sweeps").is_dir() and full.submissions() and submission.jobs(full.submissions()[0])["complete"])
    time.sleep(1)
    launcher.send_signal(number)
    output, _ = launcher.communicate(timeout=60)
    assert launcher.returncode == 75, output
    assert number == signal.SIGHUP or "The same command comes back" in output
    assert len(full.jobs()) == 1
    repair(full)
    code, output = full.run()
    assert code == 0, output
    assert len(full.submissions()) == 1
    assert full.finished() == full.attempts() == TRIALS


def test_jobs_that_slurm_has_lost_are_submitted_again_by_whoever_looks_next(full: Commands) -> None:
    assert full.run("hydra.launcher.wait=false")[0] == 0
    (array,) = submission.jobs(full.submissions()[0])["arrays"]
    full.site.run("fakeslurm", "lose", array["id"])
    repair(full)
    code, output = full.run()
    assert code == 0, output
    assert [len(one.tasks) for one in full.submissions()] == [TRIALS, TRIALS]
    assert full.finished() == full.attempts() == TRIALS


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


TIMED_OUT = "Socket timed out on send/recv operation"


def without_keeper(full: Commands) -> submission.Submission:
    """A submission whose jobs Slurm has lost, with no keeper behind them."""
    assert full.run("hydra.launcher.wait=false")[0] == 0
    full.site.run("fakeslurm", "clear")
    return full.submissions()[0]


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


def test_a_launcher_that_watches_outlasts_a_refusal(full: Commands) -> None:
    launcher = full.start()
    full.site.until(lambda: (full.runs / "sweeps").is_dir() and full.submissions() and submission.jobs(full.submissions()[0])["complete"])
    full.site.run("fakeslurm", "clear")
    full.site.run("fakeslurm", "refuse", TIMED_OUT)
    full.site.until(lambda: len(full.submissions()) > 1 and submission.jobs(full.submissions()[1])["complete"], 60)
    repair(full)
    output, _ = launcher.communicate(timeout=120)
    assert launcher.returncode == 0, output
    assert output.count(TIMED_OUT) == 1
    assert full.finished() == TRIALS


def test_a_launcher_without_scontrol_watches_on(
    full: Commands, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert full.run("hydra.launcher.wait=false")[0] == 0
    (one,) = full.submissions()
    record = json.loads(one.path.read_text()) | {"canary": True}
    one.path.write_text(json.dumps(record))
    (job,) = full.jobs()
    waiting = dataclasses.replace(job, reason="Dependency", array_id=job.array_id or job.id)
    monkeypatch.setattr(canary, "passed", lambda directory: True)
    monkeypatch.setattr(submit, "ask", lambda *_, **__: None)
    monkeypatch.setattr(submit, "at_hand", lambda command: False)
    released: set[str] = set()
    told: set[str] = set()
    for _ in range(2):
        _release(full.sweep, [waiting], released, told)
    assert capsys.readouterr().out.count("scontrol is missing") == 1
    assert not released


def test_a_silent_slurm_is_not_taken_for_an_empty_one(full: Commands) -> None:
    assert full.run("hydra.launcher.wait=false")[0] == 0
    with full.site.controller_down():
        code, output = full.run("hydra.launcher.wait=false")
        assert tend(full.sweep, Observer(1)).what == "unknown"
    assert code == 2
    assert "Slurm does not answer" in output
    assert len(full.submissions()) == 1


def test_code_edited_after_submission_submits_nothing_twice(full: Commands) -> None:
    assert full.run("hydra.launcher.wait=false")[0] == 0
    # Another seal of the same trials, as an edit of the code makes one.
    listed = json.loads((full.sweep / "seals.json").read_text())
    for one in listed:
        path = full.runs / "trials" / one["seal"]
        other = path.with_name("00000000.json")
        other.write_text(path.read_text().replace('"code": "', '"code": "0'))
        one["seal"] = f"{one['seal'].split('/')[0]}/seals/{other.name}"
    (full.sweep / "seals.json").write_text(json.dumps(listed))
    assert tend(full.sweep, Observer(1)).what == "going"
    assert len(full.submissions()) == 1


def test_a_worker_submits_its_task_again_where_it_cannot_be_requeued(full: Commands) -> None:
    assert full.run("hydra.launcher.wait=false")[0] == 0
    (first,) = full.submissions()
    id = submission.resubmit(first, 2, exclude=["node1"])
    made = full.submissions()[-1]
    assert (made.by["who"], made.tasks) == ("worker", (first.tasks[2],))
    assert submission.jobs(made) == {"canary": None, "arrays": [{"id": id, "first": 0, "size": 1}], "keeper": None, "complete": True}
    assert "--exclude=node1" in (made.folder / "array-0.sbatch").read_text()
    assert tend(full.sweep, Observer(1)).what == "going"


def test_no_secret_reaches_a_file_or_a_command_line(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "canary-7f3a9c"
    monkeypatch.setenv("WANDB_API_KEY", secret)
    code, output = commands.run()
    assert code == 0
    assert secret not in output
    assert not [path for path in commands.folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert os.environ["WANDB_API_KEY"] == secret
