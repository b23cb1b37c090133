"""Attempts: one claimant at a time, the dead make room."""

import json
import multiprocessing
import signal
import subprocess
import sys
import time
from pathlib import Path

from persona_exp.trial import attempt


def claim_and_tell(folder, queue):
    claimed = attempt.claim(folder)
    queue.put(claimed and claimed.number)
    time.sleep(3)


def test_of_many_claimants_one_wins(tmp_path):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [context.Process(target=claim_and_tell, args=(tmp_path, queue)) for _ in range(4)]
    for process in processes:
        process.start()
    results = [queue.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert sorted(results, key=str) == [1, None, None, None]


def test_an_ended_attempt_makes_room_for_the_next(tmp_path):
    first = attempt.claim(tmp_path)
    assert attempt.claim(tmp_path) is None
    first.end("interrupted", cause="signal")
    second = attempt.claim(tmp_path)
    assert (first.number, second.number) == (1, 2)
    assert first.superseded()
    assert not second.superseded()


def test_a_killed_process_makes_room_at_once(tmp_path):
    code = f"import sys, time; sys.path.insert(0, {str(Path.cwd())!r}); from pathlib import Path; from persona_exp.trial import attempt\n"
    code += f"attempt.claim(Path({str(tmp_path)!r})); print('claimed', flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "claimed\n"
    assert attempt.claim(tmp_path) is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert attempt.claim(tmp_path).number == 2


def test_a_reused_process_number_is_not_mistaken_for_the_old_process(tmp_path):
    claimed = attempt.claim(tmp_path)
    claimed._ended.set()
    claimed.note(process_started="another boot:1")
    assert attempt.claim(tmp_path).number == 2


def test_on_another_host_only_a_standing_counter_ends_the_lease(tmp_path):
    path = tmp_path / "0001.json"
    record = {"attempt": 1, "host": "elsewhere", "pid": 1, "process_started": "x", "heartbeat": 3, "status": "running"}
    path.write_text(json.dumps(record))
    started = time.monotonic()
    assert not attempt.alive(path, lease_seconds=2)
    assert time.monotonic() - started >= 2


def test_the_heartbeat_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(attempt, "HEARTBEAT_SECONDS", 0.05)
    claimed = attempt.claim(tmp_path)
    time.sleep(0.5)
    claimed.end("finished")
    record = json.loads(claimed.path.read_text())
    assert record["heartbeat"] > 2
    assert record["status"] == "finished"
