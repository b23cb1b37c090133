import json
import os
import subprocess
import sys
import time

import pytest

from persona_exp.process_identity import node_name, process_started
from persona_exp.trial import trial_status
from persona_exp.trial.trial_status import attempt_seconds, read_status, read_statuses, saved_step

TRIAL = "0123456789ab"


def write_trial(runs, attempts=(), trial_id=TRIAL):
    folder = runs / "trials" / trial_id
    (folder / "attempts").mkdir(parents=True)
    for number, attempt in enumerate(attempts, start=1):
        record = {"attempt": number, "host": "elsewhere", "pid": 1, **attempt}
        (folder / "attempts" / f"{number:04}.json").write_text(json.dumps(record))
    return folder


def status(folder):
    return read_status(folder).status


def test_highest_attempt_is_the_status(tmp_path):
    attempts = [{"status": "failed", "cause": "out_of_memory"}] + [{"status": "interrupted"}] * 9 + [{"status": "finished"}]
    folder = write_trial(tmp_path, attempts)
    # Beyond four digits names no longer sort as numbers do.
    (folder / "attempts" / "10000.json").write_text(json.dumps({"status": "failed", "cause": "input", "message": "no"}))
    state = read_status(folder)
    assert (state.status, state.cause, state.message, state.attempt) == ("failed", "input", "no", 10000)


def running(**more):
    return {"status": "running", "host": node_name(), "pid": os.getpid(), "process_started": process_started(os.getpid()), **more}


def test_running_while_its_process_lives(tmp_path):
    write_trial(tmp_path, [running()])
    assert status(tmp_path / "trials" / TRIAL) == "running"


def test_dead_process_is_interrupted(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    write_trial(tmp_path, [running(pid=gone.pid)])
    state = read_status(tmp_path / "trials" / TRIAL)
    assert (state.status, state.cause) == ("interrupted", "killed")
    assert str(gone.pid) in state.message


def test_killed_but_not_waited_for_is_interrupted(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = process_started(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    write_trial(tmp_path, [running(pid=child.pid, process_started=started)])
    assert status(tmp_path / "trials" / TRIAL) == "interrupted"
    child.communicate()


def test_a_later_process_of_the_same_number_is_not_it(tmp_path):
    write_trial(tmp_path, [running(process_started="another boot:1")])
    assert status(tmp_path / "trials" / TRIAL) == "interrupted"


def test_other_machines_cannot_be_judged(tmp_path):
    write_trial(tmp_path, [running(host="elsewhere", pid=2**22 + 1)])
    assert status(tmp_path / "trials" / TRIAL) == "running"


def test_nothing_and_no_attempt(tmp_path):
    assert status(tmp_path / "trials" / TRIAL) == "missing"
    assert status(write_trial(tmp_path)) == "sealed"


def test_the_last_attempts_own_words(tmp_path):
    progress = {"phase": "training", "step": 3, "of": 20, "loss": 2.5, "eta_seconds": 60.0}
    job = {"id": "7", "array_id": "6", "task_id": 1, "restarts": 0, "name": "pe"}
    times = {"started": "2026-01-01T00:00:00+00:00", "ended": "2026-01-01T01:00:00+00:00"}
    last = {"status": "finished", "gpus": 2, "job": job, "progress": progress, **times}
    state = read_status(write_trial(tmp_path, [{"status": "interrupted", **times}, last]))
    assert (state.phase, state.step, state.max_steps, state.loss, state.eta_seconds) == ("training", 3, 20, 2.5, 60.0)
    assert (state.job, state.host, state.gpus, state.seconds, state.gpu_hours) == (job, "elsewhere", 2, 7200.0, 4.0)
    assert state.record["attempt"] == 2


def test_time_of_an_attempt_without_a_last_word():
    killed = {"status": "running", "started": "2026-01-01T00:00:00+00:00", "heartbeat": 6, "heartbeat_seconds": 5.0}
    assert attempt_seconds(killed, "interrupted") == 30.0
    assert attempt_seconds(killed, "running") > 30.0


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (None, "cancelled"),
        ({"status": "interrupted", "cause": "signal"}, "cancelled"),
        ({"status": "failed", "cause": "KeyError"}, "cancelled"),
        ({"status": "running"}, "running"),
        ({"status": "finished"}, "finished"),
        ({"status": "pruned"}, "pruned"),
    ],
)
def test_cancelled_once_nothing_of_it_runs(tmp_path, last, said):
    folder = write_trial(tmp_path, [last] if last else [])
    (folder / "cancel.json").write_text(json.dumps({"at": "2026-01-01T00:00:00+00:00", "by": "ada"}))
    state = read_status(folder)
    assert state.status == said
    assert said != "cancelled" or "ada" in state.message


def test_another_try_allowed(tmp_path):
    folder = write_trial(tmp_path, [{"status": "failed", "cause": "KeyError", "message": "m"}] * 2)
    (folder / "retries").mkdir()
    (folder / "retries" / "0001").touch()
    assert status(folder) == "failed"
    (folder / "retries" / "0002").touch()
    state = read_status(folder)
    assert (state.status, state.cause) == ("sealed", None)
    assert "KeyError" in state.message


WRONG = ({"status": "done"}, {"status": "running", "pid": "x"}, {"status": "failed", "message": 3}, {"status": "running", "progress": []})


@pytest.mark.parametrize("text", ['{"status": "fin', "[]", "{}", "", "\0\x80", "[" * 100_000, "{" * 100_000, *map(json.dumps, WRONG)])
def test_a_damaged_record_is_one_sentence(tmp_path, text):
    folder = write_trial(tmp_path)
    (folder / "attempts" / "0001.json").write_text(text)
    state = read_status(folder)
    assert (state.status, state.attempt) == ("damaged", 1)
    assert f"attempts/0001.json of trial {folder.name} is damaged" in state.message
    assert "give the command of the trial again" in state.message


def test_what_is_published_is_finished_whatever_became_of_its_record(tmp_path):
    folder = write_trial(tmp_path)
    (folder / "attempts" / "0001.json").write_text("{")
    facts = {"engine": "sft", "method": "lora", "evaluations": {"adapter": "e" * 12}, "config": "config.yaml", "data_id": "d" * 12}
    (folder / "seals").mkdir()
    (folder / "seals" / "5ea15ea1.json").write_text(json.dumps({**facts, "code_folder": "c" * 12}))
    (folder / "adapter").mkdir()
    assert read_status(folder).status == "damaged"
    (folder / "evaluations" / ("e" * 12)).mkdir(parents=True)
    assert read_status(folder).status == "finished"


@pytest.mark.parametrize("waits", [0.0, 1e9])
def test_many_are_read_quickly_in_the_order_asked(tmp_path, monkeypatch, waits):
    """One after the other, and several at a time."""
    monkeypatch.setattr(trial_status, "WAITS", waits)
    ids = [f"{number:012x}" for number in range(300)]
    for one in ids:
        write_trial(tmp_path, [{"status": "finished"}], one)
    before = time.process_time()
    assert [state.trial_id for state in read_statuses(tmp_path, reversed(ids))] == ids[::-1]
    assert time.process_time() - before < 10


def test_saved_steps_count_until_they_are_set_aside(tmp_path):
    folder = write_trial(tmp_path, [{"status": "interrupted", "checkpoint_step": 8}, {"status": "failed", "checkpoint_step": None}])
    assert saved_step(folder) == 8
    (folder / "attempts" / "0001" / "checkpoints-aside").mkdir(parents=True)
    assert saved_step(folder) is None


def test_saved_steps_that_were_cleared_away_count_no_more(tmp_path):
    cleared = {"status": "interrupted", "checkpoint_step": 8, "checkpoints_cleared": True}
    assert saved_step(write_trial(tmp_path, [{"status": "interrupted", "checkpoint_step": 8}, cleared])) is None
