"""`cancel`, `retry` and `logs`."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from persona_exp.process_identity import node_name, process_started
from persona_exp.trial.trial_status import read_status, saved_step
from tests.cli.conftest import COMMAND, JOB_NAME, SWEEP, job, write

ONE, TWO, THREE = "aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc"
FAILED = {"status": "failed", "cause": "ValueError", "message": "m"}
FULL = {"status": "failed", "cause": "out_of_memory", "message": "m", "micro_batch_size": 1}
RUNNING = {"job": {"id": "100", "array_id": "100", "task_id": 0, "restarts": 0, "name": JOB_NAME}}


@pytest.fixture
def scancelled(monkeypatch):
    """The ids that scancel was given."""
    from persona_exp.launch.slurm import submit_and_cancel

    ids = []
    monkeypatch.setattr(submit_and_cancel, "cancel", lambda jobs, **_: ids.extend(jobs))
    return ids


def state(desk, trial_id):
    return read_status(desk.path / "trials" / trial_id).status


def given(desk, *attempts):
    for one, tried in zip((ONE, TWO, THREE), attempts, strict=True):
        desk.trial(one, tried)
    folder = desk.sweep({ONE: 8, TWO: 16, THREE: 32})
    desk.submission(folder, (ONE, TWO, THREE))
    return folder


def together(desk, *tasks):
    """Have the sweep's tasks be these."""
    path = desk.path / "sweeps" / SWEEP / "submissions" / "0001.json"
    seals = [[f"{one}/seals/5ea15ea1.json" for one in task] for task in tasks]
    write(path, json.dumps({**json.loads(path.read_text()), "tasks": seals}))


def test_cancel_a_sweep(desk, persona_exp, scancelled):
    given(desk, [{"status": "finished"}], [RUNNING], [])
    desk.evaluation(ONE, f"e{ONE}"[:12], 40)
    desk.queue = [
        job(id="100", task_id=0, tasks="", state="RUNNING"),
        job(id="100", tasks="1-2"),
        job(id="7", array_id=None, tasks="", name=f"{JOB_NAME}-keeper"),
        job(id="8", array_id=None, name="of somebody else"),
    ]
    code, out, _ = persona_exp("cancel", SWEEP)
    assert (code, scancelled) == (0, ["100", "7"])
    assert "2 trials cancelled, 2 jobs with them" in out
    assert [state(desk, one) for one in (ONE, TWO, THREE)] == ["finished", "running", "cancelled"]
    assert json.loads((desk.path / "trials" / TWO / "cancel.json").read_text()).keys() == {"at", "by"}


def test_cancel_one_trial_leaves_the_others_alone(desk, persona_exp, scancelled):
    given(desk, [RUNNING], [], [])
    desk.queue = [
        job(id="100", task_id=0, tasks="", state="RUNNING"),
        job(tasks="1-2"),
        job(id="7", array_id=None, name=f"{JOB_NAME}-keeper"),
    ]
    assert persona_exp("cancel", TWO)[0] == 0
    assert scancelled == ["100_1"]
    assert persona_exp("cancel", ONE)[0] == 0
    assert scancelled == ["100_1", "100_0"]
    assert state(desk, THREE) == "sealed"


def test_cancel_one_trial_leaves_those_of_its_job_alone(desk, persona_exp, scancelled):
    """Its worker stops that trial and goes on with the others."""
    given(desk, [RUNNING], [], [])
    together(desk, [ONE, TWO], [THREE])
    desk.queue = [job(id="100", task_id=0, tasks="", state="RUNNING"), job(tasks="1")]
    persona_exp("cancel", ONE)
    assert scancelled == []
    persona_exp("cancel", TWO)
    # The first goes on until its worker reads its cancel.json.
    assert scancelled == []
    persona_exp("cancel", ONE, TWO)
    assert scancelled == ["100_0"]


def test_cancel_counts_no_trial_that_has_ended(desk, persona_exp, scancelled):
    given(desk, [{"status": "failed"}], [RUNNING], [])
    together(desk, [ONE, TWO], [THREE])
    desk.queue = [job(id="100", task_id=0, tasks="", state="RUNNING"), job(tasks="1")]
    persona_exp("cancel", TWO)
    assert scancelled == ["100_0"]


def test_cancel_one_trial_leaves_what_its_job_claimed_from_others(desk, persona_exp, scancelled):
    """A job that is through with its own task runs what nobody has claimed, several small ones together."""
    given(desk, [{"status": "failed"}], [RUNNING], [RUNNING])
    desk.queue = [job(id="100", task_id=0, tasks="", state="RUNNING")]
    persona_exp("cancel", TWO)
    assert scancelled == []


def test_cancel_reads_a_comment_that_the_site_has_written_into(desk, persona_exp, scancelled):
    given(desk, [], [], [])
    desk.queue = [job(comment="first=1;site=a", tasks="0-1")]
    persona_exp("cancel", THREE)
    assert scancelled == ["100_1"]


def test_cancel_a_trial_of_no_sweep_with_the_job_that_is_its_alone(desk, persona_exp, scancelled):
    """sbatch slurm/train.sbatch; in a shell of an allocation, other things may be at work too."""
    mine = {"id": "41", "array_id": None, "task_id": None, "restarts": 0, "name": "persona-exp"}
    for number, one in enumerate((ONE, TWO, THREE)):
        desk.trial(one, [{"job": {**mine, "id": f"{41 + number}"}}])
    write(desk.path / "jobs" / "41", f"/code\npersona_exp.launch.single\n{desk.path}/trials/{ONE}/seals/5ea15ea1.json\n")
    write(desk.path / "jobs" / "43", f"/code\npersona_exp.launch.workers.local_sweep\n{desk.path}/sweeps/{SWEEP}\n1\n")
    desk.queue = [job(id=f"{41 + number}", array_id=None, tasks="", name="persona-exp", state="RUNNING") for number in range(3)]
    answer = json.loads(persona_exp("cancel", ONE, TWO, THREE, "--json")[1])
    assert answer["cancelled"] == [ONE, TWO, THREE]
    assert (answer["jobs"], scancelled) == (["41"], ["41"])
    # Slurm has given the number to a job of another name since, or of another user.
    desk.trial("dddddddddddd", [{"job": mine}])
    write(desk.path / "jobs" / "41", f"/code\npersona_exp.launch.single\n{desk.path}/trials/dddddddddddd/seals/5ea15ea1.json\n")
    desk.queue = [job(id="41", array_id=None, tasks="", name="of somebody else", state="RUNNING")]
    assert json.loads(persona_exp("cancel", "dddd", "--json")[1])["jobs"] == []


def test_cancel_a_trial_alone_with_the_job_that_measures_its_base_row_too(desk, persona_exp, scancelled):
    mine = {"id": "41", "array_id": None, "task_id": None, "restarts": 0, "name": "persona-exp"}
    desk.trial(ONE, [{"job": mine}])
    desk.sweep({ONE: 8})
    write(desk.path / "jobs" / "41", f"/code\npersona_exp.launch.workers.local_sweep\n{desk.path}/sweeps/{SWEEP}\n1\n")
    desk.queue = [job(id="41", array_id=None, tasks="", name="persona-exp", state="RUNNING")]
    assert json.loads(persona_exp("cancel", ONE, "--json")[1])["jobs"] == ["41"]
    assert scancelled == ["41"]


def test_cancel_one_trial_of_a_local_sweep_leaves_it_to_its_worker(desk, persona_exp):
    """Which would take a signal to its process for one to itself, and leave the others too."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    desk.trial(ONE, [{"host": node_name(), "pid": child.pid, "process_started": process_started(child.pid)}])
    desk.submission(desk.sweep({ONE: 8}), (ONE,), launcher="local")
    assert json.loads(persona_exp("cancel", ONE, "--json")[1])["processes"] == []
    child.communicate(b"\n", timeout=300)
    assert child.returncode == 0


def test_cancel_leaves_what_another_sweep_asks_for(desk, persona_exp, scancelled):
    given(desk, [], [], [])
    desk.submission(desk.sweep({ONE: 8}, "other-99999999"), (ONE,))
    answer = json.loads(persona_exp("cancel", SWEEP, "--json")[1])
    assert (answer["cancelled"], answer["left_to_other_sweeps"]) == ([TWO, THREE], {ONE: "other-99999999"})
    assert json.loads(persona_exp("cancel", ONE, "--json")[1])["cancelled"] == [ONE]


def test_cancel_tells_the_process_of_this_machine(desk, persona_exp):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    desk.trial(ONE, [{"host": node_name(), "pid": child.pid, "process_started": process_started(child.pid)}])
    answer = json.loads(persona_exp("cancel", ONE, "--json")[1])
    assert answer["processes"] == [child.pid]
    assert child.wait(timeout=300) == -signal.SIGTERM
    child.communicate()
    assert state(desk, ONE) == "cancelled"


def test_cancel_says_what_it_cannot_reach(desk, persona_exp):
    given(desk, [{"host": "elsewhere"}], [], [])
    assert f"{ONE} runs where it cannot be stopped" in persona_exp("cancel", SWEEP)[1]
    assert "1 trial had ended" not in persona_exp("cancel", SWEEP)[1]


def test_retry_a_sweep(desk, persona_exp):
    folder = given(desk, [FAILED, FAILED], [{"status": "interrupted"}], [FULL])
    desk.hold(folder)
    write(desk.path / "trials" / TWO / "cancel.json", "{}")
    code, out, _ = persona_exp("retry", SWEEP)
    assert code == 0
    assert f"  {COMMAND}\n" in out
    assert (desk.path / "trials" / ONE / "retries" / "0002").is_file()
    assert not (folder / "hold.json").exists()
    assert [state(desk, one) for one in (ONE, TWO, THREE)] == ["sealed", "interrupted", "sealed"]
    assert "Nothing was left to retry" in persona_exp("retry", SWEEP)[1]


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (("--failed",), [ONE, THREE]),
        (("--cause", "oom"), [THREE]),
        ((SWEEP, "--cause", "ValueError"), [ONE]),
        ((SWEEP, "--failed"), [ONE, THREE]),
        ((TWO,), [TWO]),
    ],
)
def test_retry_chooses(desk, persona_exp, arguments, allowed):
    given(desk, [FAILED], [{"status": "interrupted"}], [FULL])
    write(desk.path / "trials" / TWO / "cancel.json", "{}")
    answer = json.loads(persona_exp("retry", *arguments, "--json")[1])
    assert (answer["allowed"], answer["commands"]) == (allowed, [COMMAND])


def test_retry_after_three_kills(desk, persona_exp):
    desk.trial(ONE, [{"status": "interrupted", "cause": "killed"}] * 3)
    assert json.loads(persona_exp("retry", ONE, "--json")[1])["allowed"] == [ONE]
    assert (desk.path / "trials" / ONE / "retries" / "0003").is_file()


def test_retry_from_scratch_sets_checkpoints_aside(desk, persona_exp):
    folder = desk.trial(ONE, [{"status": "interrupted", "checkpoint_step": 8}, {**FAILED, "checkpoint_step": 9}])
    write(folder / "attempts" / "0001" / "checkpoints" / "step-00000008" / "manifest.json", "{}")
    assert persona_exp("retry", ONE, "--from-scratch")[0] == 0
    assert not list(folder.glob("attempts/*/checkpoints"))
    assert (folder / "attempts" / "0001" / "checkpoints-aside" / "step-00000008" / "manifest.json").is_file()
    assert saved_step(folder) is None


@pytest.mark.parametrize(
    ("attempt", "said"), [({"host": "elsewhere"}, "is running on elsewhere"), ({"status": "finished"}, "nothing to retry")]
)
def test_retry_refuses_what_runs_or_is_done(desk, persona_exp, attempt, said):
    desk.trial(ONE, [attempt])
    code, _, error = persona_exp("retry", ONE)
    assert (code, error.count("\n")) == (2, 1)
    assert said in error
    assert persona_exp("retry")[0] == 2


def test_retry_submit_runs_the_keeper(desk, persona_exp, monkeypatch):
    from persona_exp.launch.sweeps.resubmit_lost import KeeperRound

    folder = given(desk, [FAILED], [], [])
    rounds = []
    monkeypatch.setattr(
        "persona_exp.launch.sweeps.resubmit_lost.resubmit_lost",
        lambda *arguments, **_: rounds.append(arguments[0]) or KeeperRound("submitted", "1 trial"),
    )
    code, out, _ = persona_exp("retry", SWEEP, "--submit")
    assert (code, rounds) == (0, [folder])
    assert f"{SWEEP}: submitted what is left (1 trial)." in out
    assert COMMAND not in out


def test_logs(desk, persona_exp):
    folder = desk.trial(ONE, [{"status": "interrupted", "log": "one\n"}, {"status": "finished", "log": "two\nthree\n"}])
    assert persona_exp("logs", ONE)[1] == "two\nthree\n"
    assert persona_exp("logs", ONE, "-n", "1")[1] == "three\n"
    assert persona_exp("logs", ONE, "--attempt", "1")[1] == "one\n"
    assert json.loads(persona_exp("logs", ONE, "--json")[1])["lines"] == ["two", "three"]
    (folder / "attempts" / "0002" / "output.log").unlink()
    assert "left no" in persona_exp("logs", ONE)[2]
    desk.trial(TWO)
    assert "has not been tried yet" in persona_exp("logs", TWO)[2]


def test_logs_follow_into_the_next_attempt_and_end_with_the_trial(desk, persona_exp, monkeypatch):
    monkeypatch.setattr("persona_exp.cli.commands.logs.POLL_SECONDS", 0.02)
    folder = desk.trial(ONE, [{"host": "elsewhere", "log": "first\n"}])

    def work():
        time.sleep(0.2)
        with (folder / "attempts" / "0001" / "output.log").open("a") as file:
            file.write("more\n")
        desk.attempt(folder, 2, host="elsewhere", log="second\n")
        time.sleep(0.2)
        desk.attempt(folder, 2, host="elsewhere", status="finished", log="second\nlast\n")

    thread = threading.Thread(target=work)
    thread.start()
    code, out, error = persona_exp("logs", "-f", ONE)
    thread.join()
    assert (code, out) == (0, "first\nmore\nsecond\nlast\n")
    assert "attempt 2" in error
    assert os.environ["PERSONA_EXP_RUNS"] == str(desk.path)


def test_a_cause_that_there_is_not_is_refused(desk, persona_exp):
    given(desk, [FAILED], [FULL], [])
    code, _, error = persona_exp("retry", "--cause", "ooom")
    assert (code, error.count("\n")) == (2, 1)
    assert "There is no cause ooom" in error
    assert "out_of_memory" in error
    assert "ValueError" in error
    assert "Nothing was left to retry" in persona_exp("retry", "--cause", "KeyError")[1]


def test_logs_of_fewer_than_no_lines_are_refused(desk, persona_exp):
    desk.trial(ONE, [{"status": "finished", "log": "a\nb\n"}])
    code, out, error = persona_exp("logs", ONE, "-n", "-3")
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert persona_exp("logs", ONE, "-n", "0") == (0, "", "")
    assert persona_exp("logs", ONE, "-n", "1") == (0, "b\n", "")
