"""A sweep on Slurm from the person's command: each trial submitted once, whatever happens to launchers, jobs and terminals."""

import copy
import dataclasses
import errno
import json
import os
import re
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from persona_exp.cli.commands.retry import submit_remaining
from persona_exp.launch.recovery.heartbeat_lease import Observer
from persona_exp.launch.slurm import submit_and_cancel
from persona_exp.launch.sweeps import canary_trial, submission_record, submit_sweep, watch_sweep
from persona_exp.launch.sweeps.job_arrays import submit_again
from persona_exp.launch.sweeps.reconcile import Reconciliation
from persona_exp.launch.sweeps.resubmit_lost import resubmit_lost
from persona_exp.launch.sweeps.trial_set import SweepTrial
from persona_exp.launch.sweeps.watch_sweep import _release
from persona_exp.trial.trial_status import read_statuses
from tests.launch.sweeps.commands import TRIALS, Commands, attempted, deadly, repair

pytestmark = pytest.mark.long

TIMED_OUT = "Socket timed out on send/recv operation"


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


def test_results_below_a_folder_of_an_unusual_name(commands: Commands) -> None:
    commands.runs = commands.folder / "it's 50%j %A" / "runs"
    code, output = commands.run("hydra.launcher.name=ranks", trials=2)
    assert code == 0, output
    assert commands.finished() == 2
    (made,) = commands.submissions()
    assert made.job_name.startswith("ranks-pe-")
    assert any(path.name.endswith("_log.out") and path.stat().st_size for path in made.logs.iterdir())
    commands.runs = commands.folder / "back\\slash" / "runs"
    code, output = commands.run(trials=2)
    assert (code, "give a PERSONA_EXP_RUNS without backslash" in output) == (2, True), output


def test_two_launchers_at_once_submit_each_trial_once(full: Commands) -> None:
    launchers = [full.start("hydra.launcher.wait=false") for _ in range(3)]
    outputs = [launcher.communicate(timeout=300)[0] for launcher in launchers]
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
    killed.communicate(timeout=300)
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
    full.site.until(
        lambda: (
            (full.runs / "sweeps").is_dir() and full.submissions() and submission_record.recorded_jobs(full.submissions()[0])["complete"]
        )
    )
    time.sleep(1)
    launcher.send_signal(number)
    output, _ = launcher.communicate(timeout=300)
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
    (array,) = submission_record.recorded_jobs(full.submissions()[0])["arrays"]
    full.site.run("fakeslurm", "lose", array["id"])
    repair(full)
    code, output = full.run()
    assert code == 0, output
    assert [len(one.tasks) for one in full.submissions()] == [TRIALS, TRIALS]
    assert full.finished() == full.attempts() == TRIALS


def test_a_launcher_that_watches_outlasts_a_refusal(full: Commands) -> None:
    launcher = full.start()
    full.site.until(
        lambda: (
            (full.runs / "sweeps").is_dir() and full.submissions() and submission_record.recorded_jobs(full.submissions()[0])["complete"]
        )
    )
    full.site.run("fakeslurm", "clear")
    full.site.run("fakeslurm", "refuse", TIMED_OUT)
    full.site.until(lambda: len(full.submissions()) > 1 and submission_record.recorded_jobs(full.submissions()[1])["complete"], 60)
    repair(full)
    output, _ = launcher.communicate(timeout=300)
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
    monkeypatch.setattr(canary_trial, "passed", lambda directory: True)
    monkeypatch.setattr(submit_and_cancel, "ask", lambda *_, **__: None)
    monkeypatch.setattr(submit_and_cancel, "at_hand", lambda command: False)
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
        assert resubmit_lost(full.sweep, Observer(1)).what == "unknown"
    assert code == 2
    assert "Slurm does not answer" in output
    assert len(full.submissions()) == 1


def test_a_finished_sweep_needs_no_slurm(commands: Commands, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert commands.run()[0] == 0
    name = commands.sweep.name
    elsewhere = dataclasses.replace(commands.site, environment={**commands.site.environment, "PATH": without_slurm(tmp_path)})
    code, output = Commands.run(at_site(commands, elsewhere))
    assert (code, f"{name} is finished: nothing is left to run." in output) == (0, True), output
    # Of another sweep something is left.
    code, output = Commands.run(at_site(commands, elsewhere), trials=TRIALS + 1)
    assert (code, "there is no sbatch here" in output) == (2, True), output


def without_slurm(folder: Path) -> str:
    path = folder / "no-slurm"
    path.mkdir()
    for name in ("git", "bash", "sh", "nvidia-smi"):
        if found := shutil.which(name):
            (path / name).symlink_to(found)
    return str(path)


def at_site(commands: Commands, site: Any) -> Commands:
    other = copy.copy(commands)
    other.site = site
    return other


def test_a_squeue_that_does_not_answer_at_once_is_asked_again(full: Commands, tmp_path: Path) -> None:
    assert full.run("hydra.launcher.wait=false")[0] == 0
    path, count = tmp_path / "slow", tmp_path / "count"
    path.mkdir()
    (path / "squeue").write_text(
        f"#!/bin/sh\nexport PATH=${{PATH#{path}:}}\necho >> {count}\n"
        f'if [ $(wc -l < {count}) -le 1 ]; then echo "squeue: error: {TIMED_OUT}" >&2; exit 1; fi\nexec squeue "$@"\n'
    )
    (path / "squeue").chmod(0o755)
    code, output = full.run("hydra.launcher.wait=false", path=path)
    assert code == 0, output
    assert "Slurm does not answer (squeue); asking again." in output
    assert "attached to them" in output


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
    assert resubmit_lost(full.sweep, Observer(1)).what == "going"
    assert len(full.submissions()) == 1


def test_a_worker_submits_its_task_again_where_it_cannot_be_requeued(full: Commands) -> None:
    assert full.run("hydra.launcher.wait=false")[0] == 0
    (first,) = full.submissions()
    id = submit_again(first, first.tasks[2])
    made = full.submissions()[-1]
    assert (made.by["who"], made.tasks) == ("worker", (first.tasks[2],))
    assert (first.options["launch"]["together"], made.options["launch"]["together"]) == ([1] * TRIALS, [1])
    assert submission_record.recorded_jobs(made) == {
        "canary": None,
        "arrays": [{"id": id, "first": 0, "size": 1, "after": None}],
        "keeper": None,
        "complete": True,
    }
    assert resubmit_lost(full.sweep, Observer(1)).what == "going"


def test_no_secret_reaches_a_file_or_a_command_line(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "canary-7f3a9c"
    monkeypatch.setenv("WANDB_API_KEY", secret)
    code, output = commands.run()
    assert code == 0
    assert secret not in output
    assert not [path for path in commands.folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert os.environ["WANDB_API_KEY"] == secret


QUICK = ("hydra.launcher.wait=false", "hydra.launcher.keeper=false", "cluster.lease_seconds=2", "cluster.heartbeat_seconds=0.5")


def without_jobs(full: Commands, *, host: str | None) -> None:
    """A sweep that was submitted, whose jobs and keeper are gone, with an attempt without a last word at every trial."""
    assert full.run(*QUICK)[0] == 0
    full.site.run("fakeslurm", "clear")
    attempted(full, host=host)


def test_a_launcher_that_does_not_wait_finds_out_who_died_where_nobody_else_would(full: Commands) -> None:
    without_jobs(full, host="elsewhere")
    code, output = full.run(*QUICK)
    assert code == 0, output
    assert f"{TRIALS} trials of {full.sweep.name} have no job in the queue" in output
    assert "watching their heartbeat for up to 7 seconds" in output
    assert f"Submitted {full.sweep.name}: {TRIALS} trials" in output
    assert len(full.submissions()) == 2
    repair(full)
    full.site.until(lambda: full.finished() == TRIALS, 60)


def test_a_launcher_does_not_watch_what_has_a_job_or_is_seen_alive(full: Commands) -> None:
    without_jobs(full, host=None)
    code, output = full.run(*QUICK)
    assert (code, f"{TRIALS} trials running or queued already; attached to them" in output) == (0, True)
    assert "watching their heartbeat" not in output


def test_retry_submits_what_died_elsewhere(full: Commands) -> None:
    without_jobs(full, host="elsewhere")
    (told,) = submit_remaining(full.runs, [full.sweep.name]).values()
    assert told["told"] == f"submitted what is left ({TRIALS} trials had lost their job)"
    assert len(full.submissions()) == 2
    # Now it is true.
    (told,) = submit_remaining(full.runs, [full.sweep.name]).values()
    assert told["told"] == "jobs that will take them up are in the queue"


def test_retry_does_not_claim_jobs_that_are_not_there(full: Commands) -> None:
    without_jobs(full, host=None)
    (told,) = submit_remaining(full.runs, [full.sweep.name]).values()
    assert told["told"] == f"nothing was submitted (no job of it is in the queue, but {TRIALS} trials are running outside its jobs)"


def test_a_file_server_that_is_away_for_a_moment_ends_no_watching(
    full: Commands, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert full.run("hydra.launcher.wait=false")[0] == 0
    repair(full)
    failing = {name: iter([True] * 2) for name in ("read_statuses", "resubmit_lost")}

    def stale(name: str, work: Any) -> Any:
        def called(*arguments: Any) -> Any:
            if next(failing[name], False):
                raise OSError(errno.ESTALE, f"Stale file handle of {name}")
            return work(*arguments)

        return called

    monkeypatch.setattr(watch_sweep, "ROUND_SECONDS", 0.2)
    monkeypatch.setattr(watch_sweep, "read_statuses", stale("read_statuses", read_statuses))
    monkeypatch.setattr(watch_sweep, "resubmit_lost", stale("resubmit_lost", resubmit_lost))
    assert watch_sweep.watch_sweep(full.sweep) == 0
    told = capsys.readouterr().out
    assert [told.count(f"Stale file handle of {name}") for name in failing] == [1, 1]


def test_what_another_launcher_has_sealed_anew_meanwhile_is_left_to_it(tmp_path: Path) -> None:
    left = (SweepTrial("a/seals/of-another.json", "a"),)
    seen = Reconciliation(after=0, submissions=(), trials=left, decisions={}, unserved=left, going=(), jobless=(), answered=True)
    unused: Any = None
    sweep = submit_sweep.SlurmSweep(tmp_path, [], unused, unused, unused, None)
    assert submit_sweep._submit(sweep, seen, unused) is None
    assert "Another launcher has just submitted" in submit_sweep._submitted_message(tmp_path, seen, None)


def test_all_arrays_of_a_sweep_share_the_tasks_at_once(full: Commands) -> None:
    full.site.run("fakeslurm", "set", "max_array_size", "3")
    try:
        code, output = full.run("hydra.launcher.wait=false", "hydra.launcher.array_parallelism=2", trials=7)
    finally:
        full.site.run("fakeslurm", "set", "max_array_size", "1001")
    assert code == 0, output
    (made,) = full.submissions()
    arrays = submission_record.recorded_jobs(made)["arrays"]
    assert [(array["size"], array["after"]) for array in arrays] == [(3, None), (3, None), (1, arrays[0]["id"])]
    spans = [re.findall(r"--array=(\S+)", (made.folder / f"array-{number}.sbatch").read_text()) for number in range(3)]
    assert spans == [["0-2%1"], ["0-2%1"], ["0-0%1"]]
    repair(full)
    full.site.until(lambda: full.finished() == 7, 120)
