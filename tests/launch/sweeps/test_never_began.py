"""Jobs that end before their Python begins: one is enough, and the log's own words are quoted."""

import subprocess
import sys

import pytest

from persona_exp.launch.recovery import sweep_hold
from persona_exp.launch.slurm import slurm_queue
from persona_exp.launch.sweeps import never_began
from persona_exp.launch.sweeps.submission_record import create, draft, note_jobs
from tests.conftest import ROOT, environment

BROKEN = 'hydra.launcher.setup=["echo no such environment: nope >&2; exit 3"]'
MENDED = 'hydra.launcher.setup=["true"]'


def submission(folder, *, canary=True, who="person", after=None):
    made = draft(
        folder / "runs" / "sweeps" / "x",
        launcher="slurm",
        tasks=[["0123456789ab/seals/aaaaaaaa.json"], ["abcdefabcdef/seals/bbbbbbbb.json"]],
        options={"launch": {}},
        canary=canary,
        who=who,
        after=after,
    )
    assert create(made)
    made.logs.mkdir(parents=True)
    note_jobs(made, {"canary": "7" if canary else None, "arrays": [{"id": "8", "first": 1, "size": 1}], "keeper": "9", "complete": True})
    return made


@pytest.fixture
def queue(monkeypatch):
    """What of the submissions' jobs is in the queue, and what Slurm shows of jobs that have ended."""
    shown = {"queue": [], "end": None}
    monkeypatch.setattr(slurm_queue, "queued", lambda names: shown["queue"])
    monkeypatch.setattr(never_began, "_end_that_slurm_shows", lambda id, name: shown["end"])
    return shown


def shell(folder, made, line, *, alone=True, **variables):
    """Run the lines of a job with `line` for a setup, scancel played by a script; return its exit code and what scancel was told."""
    commands, calls = folder / "bin", folder / "calls"
    commands.mkdir(exist_ok=True)
    (commands / "scancel").write_text(f'#!/bin/sh\necho "$@" >>{calls}\n')
    (commands / "scancel").chmod(0o755)
    text = "\n".join([*never_began.guard(made, alone=alone), line])
    told = {"PATH": f"{commands}:/usr/bin:/bin", "SLURM_JOB_ID": "7", **variables}
    done = subprocess.run(["bash", "-c", text], env=told, capture_output=True, text=True, check=False)
    return done.returncode, calls.read_text().splitlines() if calls.exists() else []


def test_a_canary_that_dies_in_its_setup_calls_off_the_rest(tmp_path, queue):
    made = submission(tmp_path / "it's here")
    code, calls = shell(tmp_path, made, "exit 3")
    assert code == 3
    assert [call.rpartition("--name=")[2] for call in calls] == [made.job_name, made.keeper_name]
    assert all("--state=PENDING" in call for call in calls)
    (made.logs / "7_0_log.out").write_text("\nCommandNotFoundError: no conda\n\nrun conda init\n")
    dead = never_began.dead_job(made)
    assert (dead.job, dead.exit_code) == ("7", "3")
    assert f"its log {made.logs / '7_0_log.out'} ends with “CommandNotFoundError: no conda / run conda init”" in dead.sentence
    # Those that were submitted too late leave before their own setup.
    assert shell(tmp_path, made, "echo here; exit 9", alone=False)[0] == 1


def test_a_job_of_an_array_names_its_task_and_calls_nothing_off(tmp_path, queue):
    made = submission(tmp_path, canary=False)
    code, calls = shell(tmp_path, made, "exit 4", alone=False, SLURM_ARRAY_JOB_ID="8", SLURM_ARRAY_TASK_ID="2")
    assert (code, calls) == (4, [])
    dead = never_began.dead_job(made)
    assert (dead.job, dead.exit_code) == ("8_2", "4")


@pytest.mark.parametrize("line", ["kill -TERM $$; sleep 5; exit 3", "touch $persona_exp_job/began; exit 3"])
def test_a_job_that_was_stopped_or_had_begun_is_not_dead(tmp_path, queue, line):
    made = submission(tmp_path)
    _, calls = shell(tmp_path, made, line)
    assert calls == []
    assert never_began.dead_job(made) is None


def test_a_job_without_a_log_is_told_by_slurm(tmp_path, queue):
    made = submission(tmp_path)
    assert never_began.dead_job(made) is None
    queue["end"] = "0:53"
    assert f"ended with exit code 0:53 before its Python began and left no log: is {made.logs} there" in never_began.dead_job(made).sentence
    # What has a log ran its script, which would have noted it.
    (made.logs / "7_0_log.out").touch()
    assert never_began.dead_job(made) is None


def test_nothing_is_known_as_long_as_its_job_is_queued_or_slurm_does_not_answer(tmp_path, queue):
    made = submission(tmp_path)
    shell(tmp_path, made, "exit 3")
    job = slurm_queue.Job("7", None, None, made.job_name, "RUNNING", "None", None, None, "first=0")
    for shown in ([job], None):
        queue["queue"] = shown
        assert never_began.dead_job(made) is None
    queue["queue"] = []
    assert never_began.dead_job(made) is not None


def test_a_person_s_submission_holds_at_once_and_a_keeper_s_at_the_second(tmp_path, queue):
    first = submission(tmp_path, canary=False)
    folder = first.sweep_folder
    never_began.note_began(first)
    second = submission(tmp_path, canary=False, who="keeper")
    shell(tmp_path, second, "exit 3", alone=False)
    assert never_began.hold_if_never_began(folder, [first, second]) is None
    third = submission(tmp_path, canary=False, who="keeper")
    shell(tmp_path, third, "exit 3", alone=False)
    assert never_began.hold_if_never_began(folder, [first, second, third]) is not None
    assert sweep_hold.read(folder)["cause"] == "start"
    assert "exit code 3" in sweep_hold.take_back(folder)
    fourth = submission(tmp_path)
    shell(tmp_path, fourth, "exit 3")
    assert never_began.hold_if_never_began(folder, [first, second, third, fourth]) is not None


def test_a_keepers_jobs_have_a_second_go_where_the_submission_before_is_damaged(tmp_path, queue):
    second = submission(tmp_path, canary=False, who="keeper")
    shell(tmp_path, second, "exit 3")
    assert never_began.hold_if_never_began(second.sweep_folder, [second]) is None


def why(commands, trial):
    told = {**environment(commands.folder), **commands.site.environment, "PERSONA_EXP_RUNS": str(commands.runs)}
    line = [sys.executable, "-m", "persona_exp.cli.main", "why", trial]
    return subprocess.run(line, cwd=ROOT, env=told, capture_output=True, text=True, check=True).stdout


@pytest.mark.long
def test_a_broken_setup_ends_after_one_round_and_the_mended_command_goes_on(commands):
    code, output = commands.run(BROKEN)
    assert code == 1, output
    (made,) = commands.submissions()
    assert commands.attempts() == 0
    assert "no such environment: nope" in output
    assert "exit code 3" in output
    told = why(commands, made.trial_ids[0])
    assert "no such environment: nope" in told
    assert str(made.logs) in told
    assert "exit code 3" in told
    code, output = commands.run(MENDED)
    assert code == 0, output
    assert "was held" in output
    assert commands.finished() == 4


@pytest.mark.long
def test_nobody_watches_and_the_keeper_submits_nothing_again(commands):
    assert commands.run(BROKEN, "hydra.launcher.wait=false")[0] == 0
    commands.site.until(lambda: not commands.jobs())
    commands.site.until(lambda: not slurm_queue.queued([commands.submissions()[0].keeper_name]))
    assert len(commands.submissions()) == 1
    told = why(commands, commands.submissions()[0].trial_ids[0])
    assert "no such environment: nope" in told
    assert "goes on" in told
