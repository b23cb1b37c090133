"""The training child on trials that compute nothing: claims, skips, signals, stale attempts, last words, output."""

import errno
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from persona_exp.errors import UserError
from persona_exp.training.stop_signals import Interruption
from persona_exp.trial import run_sealed_trials as running
from persona_exp.trial.attempt_claim_and_heartbeat import claim
from persona_exp.trial.run_sealed_trials import run


def record(sealed, number=1):
    return json.loads((sealed.directory.attempts / f"{number:04}.json").read_text())


def until(holds, process, seconds=300.0):
    deadline = time.monotonic() + seconds
    while not holds():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def at_work(sealed, number=1):
    """Whether that attempt has taken a step."""
    path = sealed.directory.attempts / f"{number:04}.json"
    return path.exists() and bool(json.loads(path.read_text()).get("progress"))


def test_thirty_two_trials_run_in_one_child_that_loads_nothing_heavy(sealed_noop, child):
    sealed = [sealed_noop(seed) for seed in range(32)]
    process = child(*(one.path for one in sealed), PYTHONPROFILEIMPORTTIME="1")
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0
    assert {record(one)["status"] for one in sealed} == {"finished"}
    assert all(json.loads(one.directory.noop.read_text()) == {"trial_id": one.trial_id} for one in sealed)
    loaded = {line.rpartition("|")[2].strip().split(".")[0] for line in errors.splitlines() if line.startswith("import time:")}
    assert "json" in loaded
    assert not loaded & {"torch", "numpy", "transformers", "datasets", "hydra", "omegaconf", "rich", "yaml", "submitit", "huggingface_hub"}


def test_what_is_finished_or_runs_elsewhere_is_skipped(sealed_noop, child):
    done, elsewhere, free = (sealed_noop(seed) for seed in range(3))
    assert run([done.path], Interruption()) == 0
    other = claim(elsewhere.directory.attempts)
    process = child(done.path, elsewhere.path, free.path)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    assert f"Trial {elsewhere.trial_id} is done or runs elsewhere: skipped." in out
    assert [len(list(one.directory.attempts.glob("*.json"))) for one in (done, elsewhere, free)] == [1, 1, 1]
    other.end("interrupted")


def test_results_without_a_last_word_are_said_to_be_finished(sealed_noop):
    sealed = sealed_noop()
    run([sealed.path], Interruption())
    path = sealed.directory.attempts / "0001.json"
    path.write_text(json.dumps({**record(sealed), "status": "running", "pid": 2**22 + 1, "process_started": "x"}))
    assert run([sealed.path], Interruption()) == 0
    assert record(sealed, 2)["status"] == "finished"
    assert run([sealed.path], Interruption()) == 0
    assert not (sealed.directory.attempts / "0003.json").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2, signal.SIGINT])
def test_a_signal_ends_the_attempt_in_order_and_leaves_the_trials_behind_it(sealed_noop, child, number):
    first, second = sealed_noop(1), sealed_noop(2)
    process = child(first.path, second.path, PERSONA_EXP_NOOP_SECONDS="60")
    until(lambda: at_work(first), process)
    process.send_signal(number)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 75
    assert (record(first)["status"], record(first)["cause"]) == ("interrupted", "signal")
    assert record(first)["message"] == f"stopped by {signal.Signals(number).name}"
    assert "goes on from its last checkpoint" in out
    assert not second.directory.attempts.exists()
    assert run([first.path], Interruption()) == 0
    assert record(first, 2)["previous"]["cause"] == "signal"


def test_a_signal_to_a_cancelled_trial_says_so(sealed_noop, child):
    sealed = sealed_noop()
    process = child(sealed.path, PERSONA_EXP_NOOP_SECONDS="60")
    until(lambda: at_work(sealed), process)
    sealed.directory.cancelled.write_text("{}")
    process.terminate()
    process.communicate(timeout=300)
    assert (record(sealed)["status"], record(sealed)["cause"]) == ("interrupted", "cancelled")


def test_a_stopped_attempt_that_wakes_up_behind_a_later_one_stops_and_publishes_nothing(sealed_noop, child):
    sealed = sealed_noop()
    stale = child(sealed.path, PERSONA_EXP_NOOP_SECONDS="60")
    until(lambda: at_work(sealed), stale)
    stale.send_signal(signal.SIGSTOP)
    assert child(sealed.path).communicate(timeout=300)[0].endswith("skipped.\n")
    later = child(f"--dead={sealed.trial_id}=1=node_failed", sealed.path)
    later.communicate(timeout=300)
    assert later.returncode == 0
    kept = {path: path.read_bytes() for path in (sealed.directory.noop, sealed.directory.attempts / "0002.json")}
    stale.send_signal(signal.SIGCONT)
    stale.communicate(timeout=300)
    assert stale.returncode == 0
    assert (record(sealed)["status"], record(sealed)["cause"]) == ("interrupted", "superseded")
    assert {path: path.read_bytes() for path in kept} == kept
    assert record(sealed, 2)["previous"]["cause"] == "node_failed"
    assert (sealed.directory.attempts / "0001" / "fenced").is_dir()
    assert not (sealed.directory.attempts / "0001" / "staging").exists()


def test_a_child_leaves_in_order_when_its_parent_is_killed(sealed_noop, code_copy):
    sealed = sealed_noop()
    command = [sys.executable, "-m", "persona_exp.trial", str(sealed.path), "--parent"]
    code = f"import os, subprocess; subprocess.run([*{command!r}, str(os.getpid())])"
    environment = {**os.environ, "PYTHONPATH": str(code_copy), "PERSONA_EXP_NOOP_SECONDS": "60"}
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=code_copy, env=environment)
    until(lambda: at_work(sealed), parent)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 300
    while record(sealed)["status"] == "running" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert record(sealed)["status"] == "interrupted"


def test_output_is_kept_beside_the_record(sealed_noop, child, monkeypatch):
    sealed = [sealed_noop(seed) for seed in range(2)]
    log, loud = sealed[0].directory.attempts / "0001" / "output.log", sealed[1].directory.attempts / "0001" / "output.log"
    for one, given in zip(sealed, (["--log"], []), strict=True):
        process = child(*given, one.path, PERSONA_EXP_NOOP_SECONDS="60")
        until(lambda one=one: at_work(one), process)
        process.terminate()
        out, _ = process.communicate(timeout=300)
        assert ("stopped by SIGTERM" in out) == (not given)
    assert "stopped by SIGTERM" in log.read_text()
    assert "stopped by SIGTERM" in loud.read_text()


def test_output_of_libraries_in_c_goes_to_the_log_and_comes_back(tmp_path, capfd):
    from persona_exp.trial.attempt_output_log import kept

    with capfd.disabled():
        read, write = os.pipe()
        before = os.dup(1)
        os.dup2(write, 1)
        with kept(tmp_path / "output.log", away=True):
            os.write(1, b"from below\n")
        os.write(1, b"back\n")
        os.dup2(before, 1)
        os.close(write)
        assert os.read(read, 100) == b"back\n"
    assert (tmp_path / "output.log").read_text() == "from below\n"


def test_the_drawing_of_a_bar_is_no_line_of_the_log(tmp_path, capsys):
    from persona_exp.trial.attempt_output_log import kept

    with kept(tmp_path / "output.log", away=False):
        print("a sentence")
        print("\x1b[2K 3/10", end="\r", file=sys.stderr)
        print("a warning", file=sys.stderr)
    assert (tmp_path / "output.log").read_text() == "a sentence\na warning\n"
    assert capsys.readouterr().err == "\x1b[2K 3/10\ra warning\n"


def wrapped(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (UserError("data.size=9 is more than there are."), "input"),
        (MemoryError(), "out_of_memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), "out_of_memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), "out_of_memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk_full"),
        (RuntimeError("SafetensorError: I/O error: No space left on device (os error 28)"), "disk_full"),
        (wrapped(UserError("The disk is full: 3 GB are needed."), OSError(errno.ENOSPC, "")), "disk_full"),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError"),
    ],
)
def test_a_failure_has_a_cause_and_its_traceback(sealed_noop, monkeypatch, capsys, error, cause):
    sealed, behind = sealed_noop(1), sealed_noop(2)
    noop = running.run_noop

    def fail(directory, attempt, interruption):
        if directory == sealed.directory:
            raise error
        noop(directory, attempt, interruption)

    monkeypatch.setattr(running, "run_noop", fail)
    assert run([sealed.path, behind.path], Interruption(), micro_batch_size=2) == 1
    found = record(sealed)
    assert (found["status"], found["cause"], found["message"]) == ("failed", cause, str(error))
    assert found["micro_batch_size"] == 2
    assert "error: trial" in capsys.readouterr().err
    assert (sealed.directory.attempts / "0001" / "traceback.txt").exists() == (cause != "disk_full")
    assert record(behind)["status"] == "finished"


def test_a_fault_of_an_attempt_that_was_superseded_is_no_failure(sealed_noop, monkeypatch):
    sealed = sealed_noop()
    later = []

    def overtaken(directory, attempt, interruption):
        later.append(claim(directory.attempts, dead=[1]))
        raise FileNotFoundError(attempt.staging)

    monkeypatch.setattr(running, "run_noop", overtaken)
    assert run([sealed.path], Interruption()) == 0
    assert (record(sealed)["status"], record(sealed)["cause"]) == ("interrupted", "superseded")
    assert record(sealed, 2)["status"] == "running"
    later[0].end("interrupted")


@pytest.mark.parametrize(("gpu", "lower"), [(None, "evaluation.batch_size"), ("NVIDIA H200", "evaluation.max_length")])
def test_out_of_memory_in_the_evaluation_says_what_to_lower(sealed_noop, monkeypatch, capsys, gpu, lower):
    sealed = sealed_noop(1)

    def fail(directory, attempt, interruption):
        attempt.note(hardware={"gpu": gpu})
        attempt.progress("evaluating")
        raise RuntimeError("CUDA out of memory.")

    monkeypatch.setattr(running, "run_noop", fail)
    assert run([sealed.path], Interruption()) == 1
    assert record(sealed)["cause"] == "out_of_memory"
    assert f"lower {lower}" in record(sealed)["message"]
    assert f"lower {lower}" in capsys.readouterr().err
