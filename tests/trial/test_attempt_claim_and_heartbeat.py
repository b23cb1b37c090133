"""Attempts: one claimant at a time, the dead make room, the stale publish nothing."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from persona_exp import process_identity
from persona_exp.process_identity import node_name, pid_namespace, process_started
from persona_exp.trial import attempt_claim_and_heartbeat
from persona_exp.trial.attempt_claim_and_heartbeat import Superseded

ROOT = Path(__file__).parents[2]


def record(path):
    return json.loads(path.read_text())


def running(number, **facts):
    return {"attempt": number, "host": "elsewhere", "pid": 1, "process_started": "x", "heartbeat": 3, "status": "running", **facts}


def put(folder, number, **facts):
    (folder / f"{number:04}").mkdir(parents=True)
    (folder / f"{number:04}.json").write_text(json.dumps(running(number, **facts)))


def process(folder, then):
    """A process of its own that claims an attempt in `folder`, says so, and goes on with the statements `then`."""
    code = (
        f"import sys, time; from pathlib import Path; "
        f"from persona_exp.trial import attempt_claim_and_heartbeat as attempt\nmine = attempt.claim(Path({str(folder)!r}))\n"
    )
    code += f"print('claimed', flush=True)\n{then}"
    started = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert started.stdout.readline() == "claimed\n"
    return started


def claim_and_report(folder, queue):
    claimed = attempt_claim_and_heartbeat.claim(folder)
    queue.put(claimed and claimed.number)
    time.sleep(3)


@pytest.mark.long
def test_a_number_that_is_not_finite_is_refused_and_spoils_no_later_word(tmp_path):
    claimed = attempt_claim_and_heartbeat.claim(tmp_path)
    with pytest.raises(ValueError, match="Out of range"):
        claimed.note(loss=float("nan"))
    claimed.end("failed", cause="input")
    assert "loss" not in json.loads(claimed.path.read_text())


def test_of_many_claimants_one_wins(tmp_path):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [context.Process(target=claim_and_report, args=(tmp_path, queue)) for _ in range(4)]
    for one in processes:
        one.start()
    results = [queue.get(timeout=300) for _ in processes]
    for one in processes:
        one.join()
    assert sorted(results, key=str) == [1, None, None, None]


def test_an_ended_attempt_makes_room_for_the_next_which_says_what_ended_it(tmp_path):
    first = attempt_claim_and_heartbeat.claim(tmp_path)
    assert attempt_claim_and_heartbeat.claim(tmp_path) is None
    first.end("interrupted", cause="signal", message="stopped by SIGTERM")
    second = attempt_claim_and_heartbeat.claim(tmp_path)
    assert (first.number, second.number) == (1, 2)
    assert first.superseded()
    assert not second.superseded()
    assert second.record["previous"] == {"attempt": 1, "host": node_name(), "cause": "signal", "message": "stopped by SIGTERM"}


def test_the_number_of_a_folder_without_a_record_is_not_given_again(tmp_path):
    put(tmp_path, 1, status="interrupted")
    (tmp_path / "0003" / "staging").mkdir(parents=True)
    claimed = attempt_claim_and_heartbeat.claim(tmp_path)
    claimed.end("finished")
    assert (claimed.number, claimed.record["previous"]["attempt"]) == (4, 1)
    assert (tmp_path / "0003" / "fenced").is_dir()


def test_a_killed_process_makes_room_at_once(tmp_path):
    other = process(tmp_path, "time.sleep(60)")
    assert attempt_claim_and_heartbeat.claim(tmp_path) is None
    other.send_signal(signal.SIGKILL)
    other.wait()
    second = attempt_claim_and_heartbeat.claim(tmp_path)
    assert second.number == 2
    assert second.record["previous"]["cause"] == "killed"


def test_a_reused_process_number_is_not_mistaken_for_the_old_process(tmp_path):
    claimed = attempt_claim_and_heartbeat.claim(tmp_path)
    claimed._ended.set()
    claimed.note(process_started="another boot:1")
    assert attempt_claim_and_heartbeat.claim(tmp_path).number == 2


def test_claiming_never_waits_for_another_host(tmp_path):
    put(tmp_path, 1)
    started = time.monotonic()
    assert attempt_claim_and_heartbeat.claim(tmp_path) is None
    assert time.monotonic() - started < 10


def test_an_observers_word_makes_room_for_that_attempt_alone(tmp_path):
    put(tmp_path, 1)
    assert attempt_claim_and_heartbeat.claim(tmp_path, dead=[2]) is None
    assert attempt_claim_and_heartbeat.claim(tmp_path, dead={1: ("killed", "process 1 is gone")}).record["previous"] == {
        "attempt": 1,
        "host": "elsewhere",
        "cause": "killed",
        "message": "process 1 is gone",
    }


def test_a_requeued_job_knows_its_earlier_run_is_gone(tmp_path, monkeypatch):
    job = {"id": "77", "array_id": "70", "task_id": 3, "restarts": 0, "name": "pe"}
    put(tmp_path, 1, job=job)
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    assert attempt_claim_and_heartbeat.claim(tmp_path) is None
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    claimed = attempt_claim_and_heartbeat.claim(tmp_path)
    assert claimed.number == 2
    assert claimed.record["job"]["restarts"] == 1
    assert claimed.record["previous"]["cause"] == "preempted"


def test_what_was_finished_meanwhile_is_not_claimed_again(tmp_path):
    attempt_claim_and_heartbeat.claim(tmp_path).end("finished")
    assert attempt_claim_and_heartbeat.claim(tmp_path, unless=lambda: True) is None
    assert not (tmp_path / "0002.json").exists()


def test_behind_a_damaged_record_nothing_is_claimed(tmp_path):
    """Its process may be at work; a person's command mends it."""
    (tmp_path / "0001.json").write_text("{")
    assert attempt_claim_and_heartbeat.claim(tmp_path) is None


def test_the_heartbeat_counts_and_carries_progress_that_costs_no_write_of_its_own(tmp_path, monkeypatch):
    claimed = attempt_claim_and_heartbeat.claim(tmp_path, heartbeat_seconds=0.05)
    claimed.progress("training", 0, 100)
    written = []
    monkeypatch.setattr(claimed, "note", lambda **facts: written.append(facts))
    for step in range(1, 11):
        time.sleep(0.05)
        claimed.progress("training", step, 100, 2.5)
    assert not written
    deadline = time.monotonic() + 300
    while (found := record(claimed.path))["heartbeat"] <= 2 or found["progress"]["step"] < 10:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert found["heartbeat_seconds"] == 0.05
    assert found["progress"].keys() == {"phase", "step", "of", "loss", "eta_seconds"}
    assert (found["progress"]["step"], found["progress"]["of"], found["progress"]["loss"]) == (10, 100, 2.5)
    assert 90 * 0.04 < found["progress"]["eta_seconds"] < 90 * 5
    monkeypatch.undo()
    claimed.progress("training", 10, 100, float("nan"))
    claimed.progress("evaluating")
    assert record(claimed.path)["progress"] == {"phase": "evaluating", "step": 10, "of": 100, "loss": 2.5, "eta_seconds": None}
    claimed.end("finished")
    assert record(claimed.path)["status"] == "finished"


def test_the_heartbeat_outlives_a_write_that_failed(tmp_path, monkeypatch):
    claimed = attempt_claim_and_heartbeat.claim(tmp_path, heartbeat_seconds=0.02)
    writing, fails = attempt_claim_and_heartbeat.atomic_files.write_json, [OSError(28, "No space left on device")] * 3

    def write(path, value):
        if fails:
            raise fails.pop()
        writing(path, value)

    monkeypatch.setattr(attempt_claim_and_heartbeat.atomic_files, "write_json", write)
    deadline = time.monotonic() + 300
    while (fails or record(claimed.path)["heartbeat"] < 4) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert record(claimed.path)["heartbeat"] >= 4


def staged(claimed, name="adapter"):
    folder = claimed.staging / name
    folder.mkdir()
    (folder / "weights").write_text(str(claimed.number))
    return folder


def test_publishing_is_a_rename_and_the_first_wins(tmp_path):
    first = attempt_claim_and_heartbeat.claim(tmp_path / "attempts")
    assert first.publish(staged(first), tmp_path / "adapter")
    assert not first.publish(staged(first), tmp_path / "adapter")
    assert (tmp_path / "adapter" / "weights").read_text() == "1"


def test_a_stale_attempt_publishes_nothing(tmp_path):
    first = attempt_claim_and_heartbeat.claim(tmp_path / "attempts")
    folder = staged(first)
    second = attempt_claim_and_heartbeat.claim(tmp_path / "attempts", dead=[1])
    with pytest.raises(Superseded):
        first.publish(folder, tmp_path / "adapter")
    with pytest.raises(Superseded):
        first.raise_if_superseded()
    assert not (tmp_path / "adapter").exists()
    assert (first.folder / "fenced" / "adapter" / "weights").exists()
    assert second.publish(staged(second), tmp_path / "adapter")


def test_a_stale_attempt_that_makes_its_staging_anew_publishes_nothing(tmp_path):
    first = attempt_claim_and_heartbeat.claim(tmp_path / "attempts")
    attempt_claim_and_heartbeat.claim(tmp_path / "attempts", dead=[1])
    folder = first.staging / "adapter"
    folder.mkdir(parents=True)
    (folder / "weights").write_text("1")
    with pytest.raises(Superseded):
        first.publish(folder, tmp_path / "adapter")
    assert not (tmp_path / "adapter").exists()
    # A third attempt fences that too.
    attempt_claim_and_heartbeat.claim(tmp_path / "attempts", dead=[2])
    assert not first.staging.exists()


def test_a_publication_that_was_fenced_off_in_its_midst_says_so(tmp_path, monkeypatch):
    first = attempt_claim_and_heartbeat.claim(tmp_path / "attempts")
    folder, publish = staged(first), attempt_claim_and_heartbeat.atomic_files.publish

    def slow(source, final, **more):
        attempt_claim_and_heartbeat.claim(tmp_path / "attempts", dead=[1])
        return publish(source, final, **more)

    monkeypatch.setattr(attempt_claim_and_heartbeat.atomic_files, "publish", slow)
    with pytest.raises(Superseded):
        first.publish(folder, tmp_path / "adapter")
    assert not (tmp_path / "adapter").exists()


def test_the_last_check_comes_after_everything_is_on_the_disk(tmp_path, monkeypatch):
    first = attempt_claim_and_heartbeat.claim(tmp_path / "attempts")
    folder, sync = staged(first), attempt_claim_and_heartbeat.atomic_files.sync

    def slow(path):
        sync(path)
        if path == folder and not first.superseded():
            # Another host's claim, whose fence has not come this far.
            (tmp_path / "attempts" / "0002.json").write_text(json.dumps(running(2)))

    monkeypatch.setattr(attempt_claim_and_heartbeat.atomic_files, "sync", slow)
    with pytest.raises(Superseded):
        first.publish(folder, tmp_path / "adapter")
    assert not (tmp_path / "adapter").exists()
    first.end("interrupted")


def test_the_latest_is_the_highest_number(tmp_path):
    for number in (9999, 10000):
        put(tmp_path, number, status="interrupted")
    assert attempt_claim_and_heartbeat.latest(tmp_path).name == "10000.json"
    claimed = attempt_claim_and_heartbeat.claim(tmp_path)
    assert claimed.number == 10001
    claimed.end("interrupted")


def mine(**more):
    return running(1, host=node_name(), pid=os.getpid(), process_started=process_started(os.getpid()), **more)


def absent(**more):
    return {**mine(**more), "pid": 2**22 + 1}


def test_a_process_that_would_be_seen_is_gone_when_it_is_not_seen():
    here = {"pid_namespace": pid_namespace(), "uid": os.getuid()}
    # Older records say neither.
    for facts in ({}, here):
        assert attempt_claim_and_heartbeat.attempt_gone(mine(**facts)) is False
        assert attempt_claim_and_heartbeat.attempt_gone(absent(**facts)) is True
    assert attempt_claim_and_heartbeat.attempt_gone({**absent(**here), "host": "elsewhere"}) is None


def test_what_cannot_be_seen_from_here_need_not_be_gone(tmp_path):
    # A container of the same host name numbers its processes on its own.
    for facts in ({"pid_namespace": 1}, {"pid_namespace": 1, "uid": os.getuid()}):
        assert attempt_claim_and_heartbeat.attempt_gone(absent(**facts)) is attempt_claim_and_heartbeat.attempt_gone(mine(**facts)) is None
    (tmp_path / "0001.json").write_text(json.dumps(absent(pid_namespace=1)))
    assert attempt_claim_and_heartbeat.claim(tmp_path) is None


@pytest.mark.parametrize(("others", "expected"), [(True, True), (False, None)])
def test_where_proc_hides_other_users_theirs_may_live(monkeypatch, others, expected):
    monkeypatch.setattr(process_identity, "sees_other_users", lambda: others)
    assert attempt_claim_and_heartbeat.attempt_gone(absent(pid_namespace=pid_namespace(), uid=os.getuid() + 1)) is expected
    assert attempt_claim_and_heartbeat.attempt_gone(absent(pid_namespace=pid_namespace(), uid=os.getuid())) is True


def test_a_process_that_proc_hides_may_live(monkeypatch):
    def denied(pid):
        raise PermissionError

    hidden = absent()
    monkeypatch.setattr(process_identity, "process_started", denied)
    assert attempt_claim_and_heartbeat.attempt_gone(hidden) is None


def test_claiming_and_publishing_at_once_end_in_one_or_the_other(tmp_path):
    for round_ in range(60):
        trial = tmp_path / str(round_)
        first = attempt_claim_and_heartbeat.claim(trial / "attempts")
        folder, outcome = staged(first), []

        def publish(first=first, folder=folder, trial=trial, outcome=outcome):
            try:
                outcome.append(first.publish(folder, trial / "adapter"))
            except Superseded:
                outcome.append(None)

        thread = threading.Thread(target=publish)
        thread.start()
        time.sleep(round_ / 60 * 0.002)
        second = attempt_claim_and_heartbeat.claim(trial / "attempts", dead=[1])
        # From here on the second attempt works: what it finds can change no more.
        found = (trial / "adapter").is_dir()
        thread.join()
        assert outcome == [True] if found else outcome == [None]
        assert (trial / "adapter").is_dir() == found
        first.end("interrupted")
        second.end("interrupted")


@pytest.mark.parametrize("again", ["", "folder.mkdir(parents=True, exist_ok=True); (folder / 'weights').write_text('1')\n"])
def test_a_stopped_process_that_wakes_up_behind_a_later_attempt(tmp_path, again):
    then = "folder = mine.staging / 'adapter'; folder.mkdir(); (folder / 'weights').write_text('1')\n"
    then += f"print('staged', flush=True); sys.stdin.readline()\n{again}"
    then += "try:\n    mine.publish(folder, mine.path.parents[1] / 'adapter')\nexcept attempt.Superseded:\n    mine.end('interrupted')\n"
    stale = process(tmp_path / "attempts", then)
    assert stale.stdout.readline() == "staged\n"
    stale.send_signal(signal.SIGSTOP)
    second = attempt_claim_and_heartbeat.claim(tmp_path / "attempts", dead=[1])
    kept = second.path.read_text()
    stale.send_signal(signal.SIGCONT)
    stale.communicate("\n", timeout=300)
    assert stale.returncode == 0
    assert not (tmp_path / "adapter").exists()
    assert record(tmp_path / "attempts" / "0001.json")["status"] == "interrupted"
    assert second.path.read_text() == kept


def test_a_claimant_that_was_overtaken_before_it_had_a_folder_gives_way(tmp_path, monkeypatch):
    fence = attempt_claim_and_heartbeat._fence

    def overtaken(attempts, number):
        fence(attempts, number)
        if number == 1:
            assert attempt_claim_and_heartbeat.claim(attempts, dead=[1]).number == 2

    monkeypatch.setattr(attempt_claim_and_heartbeat, "_fence", overtaken)
    assert attempt_claim_and_heartbeat.claim(tmp_path) is None
    found = record(tmp_path / "0001.json")
    assert (found["status"], found["cause"]) == ("interrupted", "superseded")


def test_a_supervisor_has_the_last_word_only_where_there_is_none(tmp_path):
    other = process(tmp_path, "time.sleep(60)")
    other.kill()
    other.wait()
    attempt_claim_and_heartbeat.close_attempt(tmp_path / "0001.json", "killed", "killed by SIGKILL")
    found = record(tmp_path / "0001.json")
    assert (found["status"], found["cause"], found["message"]) == ("interrupted", "killed", "killed by SIGKILL")
    assert found["ended"]
    attempt_claim_and_heartbeat.close_attempt(tmp_path / "0001.json", "node_failed", "too late")
    assert record(tmp_path / "0001.json")["cause"] == "killed"


def test_no_environment_gets_into_a_record(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "canary-5521")
    claimed = attempt_claim_and_heartbeat.claim(tmp_path)
    assert "canary-5521" not in claimed.path.read_text()
    assert claimed.record["pid"] == os.getpid()
