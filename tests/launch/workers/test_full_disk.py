"""A disk that is full: workers and the keeper wait for room, nothing torn is left, and no attempt counts for it."""

import errno
import os
import signal
import subprocess
import sys
from contextlib import suppress
from functools import partial
from types import SimpleNamespace

import pytest

from persona_exp.full_disk import full_error, when_there_is_room
from persona_exp.launch.recovery.retry_decision import decide
from persona_exp.launch.sweeps import keeper, watch_sweep
from persona_exp.launch.workers import __main__ as worker_command
from persona_exp.launch.workers.close_dead_attempts import ProcessEnd
from persona_exp.launch.workers.training_process import ProcessExit
from persona_exp.trial.attempt_claim_and_heartbeat import claim
from persona_exp.trial.training_child import DISK_FULL, run_unless_full
from tests.launch.rehearsed import SEAL, attempts, recorded_trial, sealed, status, submitted, until, worker

FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def small_disk(tmp_path):
    """tmp_path/runs is a disk of eight megabytes; `fill()` leaves no room on it, `empty()` makes some."""
    runs = tmp_path / "runs"
    runs.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(runs)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("needs root, to mount a small disk")

    class Disk:
        filler = runs / "filler"

        def fill(self):
            with self.filler.open("ab", buffering=0) as file, suppress(OSError):
                while True:
                    file.write(bytes(4096))
            assert full_error(self.filler.parent) == errno.ENOSPC

        def empty(self):
            self.filler.unlink()

    yield Disk()
    subprocess.run(["umount", "--lazy", str(runs)], check=True)


@pytest.mark.long
@pytest.mark.usefixtures("one_copy_of_the_code")
def test_a_worker_outlives_a_full_disk_and_goes_on(config, tmp_path, small_disk):
    seals = sealed(config, tmp_path, 3)
    made = submitted(tmp_path, [seals[:1], seals[1:2], seals[2:]])
    process = worker(made, "--task", "0", PERSONA_EXP_NOOP_SECONDS="4")
    until(lambda: status(tmp_path, seals[0]) == "running")
    small_disk.fill()
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "waiting for room" in line:
            break
    assert process.poll() is None, lines
    small_disk.empty()
    rest = process.communicate(timeout=300)[0]
    assert not [path for path in (tmp_path / "runs").rglob(".*") if path.suffix in (".tmp", ".new")]
    assert process.returncode in (0, 1), (lines, rest)
    first, *others = (attempts(tmp_path, seal) for seal in seals)
    assert [one["status"] for found in others for one in found] == ["finished"] * 2
    # Its own results had no room: that is a failure of the site, or it was only interrupted by it.
    assert first[0]["cause"] == "disk_full"
    assert first[-1]["status"] in ("finished", "failed")
    assert not any(one["cause"] == "killed" for one in first)


def test_an_end_that_could_not_be_recorded_is_an_interruption_that_counts_for_nothing(tmp_path):
    directory = recorded_trial(tmp_path, *[{"status": "interrupted", "cause": "disk_full"}] * 20)
    assert decide(directory, SEAL, lambda _: "dead").next == "run"
    assert ProcessEnd(ProcessExit(1, DISK_FULL, False), signal="SIGTERM").reason[0] == "disk_full"


def test_a_child_says_so_by_its_exit_code(capsys):
    def full():
        raise FULL

    assert run_unless_full(full) == DISK_FULL
    assert "the disk is full" in capsys.readouterr().err
    with pytest.raises(PermissionError):
        run_unless_full(lambda: (_ for _ in ()).throw(PermissionError(errno.EACCES, "no")))


def test_what_an_attempt_notes_on_a_full_disk_is_written_by_its_next_heartbeat(tmp_path, monkeypatch):
    from persona_exp import atomic_files
    from persona_exp.trial.attempt_records import read_record

    attempt = claim(tmp_path / "attempts", heartbeat_seconds=0.1)
    write, full = atomic_files.write_json, [True]

    def refuse(path, value):
        if full:
            raise FULL
        write(path, value)

    monkeypatch.setattr(atomic_files, "write_json", refuse)
    attempt.note(code="abc")
    attempt.progress("training", 1, 9)
    with pytest.raises(OSError, match="No space"):
        attempt.end("finished")
    attempt = claim(tmp_path / "attempts", heartbeat_seconds=0.1, dead=[1])
    attempt.note(code="abc")
    full.clear()
    until(lambda: read_record(attempt.path).get("code") == "abc", 60)
    attempt.end("finished")


@pytest.mark.parametrize("program", ["keeper", "watcher"])
def test_keeper_and_watcher_wait_with_the_report_until_there_is_room(tmp_path, monkeypatch, capsys, program):
    from persona_exp import full_disk

    tries = []

    def finish(folder):
        tries.append(folder)
        if len(tries) < 3:
            raise FULL
        return 0

    monkeypatch.setattr(full_disk, "SLICE_SECONDS", 0.01)
    monkeypatch.setattr(full_disk.when_there_is_room, "__defaults__", (0.05,))
    if program == "keeper":
        monkeypatch.setattr(keeper, "finish_sweep", finish)
        monkeypatch.setattr(keeper, "_one_round", lambda *_: keeper._Next("all has ended", 0, "ended"))
        made = submitted(tmp_path, [["0123456789ab/seals/01234567.json"]])
        monkeypatch.setattr(keeper, "_newest", lambda _: made)
        monkeypatch.setattr(keeper, "keeper_minutes", lambda _: 60)
        assert keeper.keep(made.sweep_folder) == 0
    else:
        monkeypatch.setattr(watch_sweep, "finish_sweep", finish)
        monkeypatch.setattr(watch_sweep, "_follow", lambda *_: True)
        made = submitted(tmp_path, [["0123456789ab/seals/01234567.json"]])
        assert watch_sweep.watch_sweep(made.sweep_folder) == 0
    assert len(tries) == 3
    assert capsys.readouterr().out.count("waiting for room") == 1


@pytest.mark.long
@pytest.mark.usefixtures("one_copy_of_the_code")
@pytest.mark.parametrize("output", ["/dev/full", "closed pipe"])
def test_a_worker_s_own_words_end_nothing(config, tmp_path, output):
    (seal,) = sealed(config, tmp_path, 1)
    made = submitted(tmp_path, [[seal]])
    if output == "/dev/full":
        descriptor = os.open(output, os.O_WRONLY)
    else:
        mine, descriptor = os.pipe()
        os.close(mine)
    command = [sys.executable, "-m", "persona_exp.launch.workers", str(made.path), "--task", "0"]
    done = subprocess.run(command, stdout=descriptor, stderr=descriptor, check=False, timeout=300)
    os.close(descriptor)
    assert done.returncode == 0
    assert status(tmp_path, seal) == "finished"
    assert signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN


def test_a_workers_first_note_waits_for_room(monkeypatch, capsys):
    """Without it the end of its job would be taken for one before its Python, and call off the others."""
    answers = [FULL, FULL, None]

    def note_began(submission):
        if (answer := answers.pop(0)) is not None:
            raise answer

    monkeypatch.setattr(worker_command, "note_began", note_began)
    monkeypatch.setattr(worker_command, "when_there_is_room", partial(when_there_is_room, poll_seconds=0.0))
    worker_command._note_began(None, SimpleNamespace(signalled=None))
    assert not answers
    assert capsys.readouterr().out.count("waiting for room") == 1
