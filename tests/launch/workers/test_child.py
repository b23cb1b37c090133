"""The training child of a worker: signals, output, environment."""

import os
import pty
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

from persona_exp.cgroup import out_of_memory_kills
from persona_exp.launch.judgement.room import Room
from persona_exp.launch.workers.child import Child, environment
from persona_exp.launch.workers.ending import attempt_of
from persona_exp.trial.attempt import node
from tests.launch.rehearsed import told

ROOT = Path(__file__).parents[3]


def fake(tmp_path, body):
    """A program in the place of the trial's."""
    path = tmp_path / "fake.py"
    path.write_text("import os, signal, sys, time\n" + textwrap.dedent(body))
    return (sys.executable, str(path))


def run(tmp_path, body, *, during=None, **options):
    with Child(program=fake(tmp_path, body)) as child:
        if during:
            threading.Thread(target=during, args=(child,), daemon=True).start()
        return child, child.run([tmp_path / "seal.json"], code=tmp_path, **options)


def started(child):
    while child.pid is None:
        time.sleep(0.01)
    time.sleep(0.5)
    return child.pid


def test_the_command_says_what_is_to_be_run(tmp_path):
    _, outcome = run(
        tmp_path,
        "open('argv', 'w').write(' '.join(sys.argv[1:]))",
        room=Room(micro_batch_size=2, together=4),
        dead={"abc": "3=killed=by hand"},
    )
    assert outcome.code == 0
    said = (tmp_path / "argv").read_text()
    assert said == f"--parent {os.getpid()} --micro-batch=2 --together=4 --dead=abc=3=killed=by hand {tmp_path / 'seal.json'}"


def test_its_attempt_is_told_from_that_of_an_earlier_process_of_the_same_number(tmp_path):
    _, outcome = run(tmp_path, "")
    directory = told(tmp_path, {"host": node(), "pid": outcome.pid, "process_started": "boot:1", "status": "interrupted"})
    assert attempt_of(directory, outcome.pid, None)
    assert attempt_of(directory, outcome.pid, outcome.started) is None
    directory = told(tmp_path, {"host": node(), "pid": outcome.pid, "process_started": outcome.started, "status": "interrupted"})
    assert attempt_of(directory, outcome.pid, outcome.started)


def test_a_signal_reaches_the_child(tmp_path):
    body = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))\ntime.sleep(30)"
    child, outcome = run(tmp_path, body, during=lambda one: started(one) and os.kill(os.getpid(), signal.SIGTERM))
    assert (outcome.code, child.signalled) == (75, "SIGTERM")


def test_a_second_interrupt_kills_at_once(tmp_path):
    def twice(child):
        started(child)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    child, outcome = run(tmp_path, "signal.signal(signal.SIGINT, lambda *_: None)\nwhile True: time.sleep(1)", during=twice)
    assert outcome.code == -signal.SIGKILL
    assert child.stopped_at_once


def test_two_terms_kill_nobody(tmp_path):
    def twice(child):
        started(child)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGUSR2)

    body = "for one in (signal.SIGTERM, signal.SIGUSR2): signal.signal(one, lambda *_: None)\ntime.sleep(2)"
    _, outcome = run(tmp_path, body, during=twice)
    assert outcome.code == 0


def test_it_is_looked_at_while_it_runs(tmp_path):
    looks = []
    run(tmp_path, "time.sleep(1)", watch=lambda: looks.append(1), every_seconds=0.2)
    assert 2 <= len(looks) <= 6


def test_a_reader_that_left_does_not_break_it(tmp_path):
    body = "for line in range(20000): print('line', line, flush=True)\nopen('done', 'w').close()"
    code = "from pathlib import Path; from persona_exp.launch.workers.child import Child\n"
    code += f"with Child(program={fake(tmp_path, body)!r}) as child:\n"
    code += f"    print(child.run([Path('x')], code=Path({str(tmp_path)!r})).code, file=open({str(tmp_path / 'code')!r}, 'w'))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout.readline() == b"line 0\n"
    process.stdout.close()
    process.wait(timeout=60)
    assert (tmp_path / "done").exists()
    assert (tmp_path / "code").read_text() == "0\n"


def on_a_terminal(tmp_path, body):
    """A worker with this child on a terminal of its own; its process and our end of the terminal."""
    code = "from pathlib import Path; from persona_exp.launch.workers.child import Child\n"
    code += f"with Child(program={fake(tmp_path, body)!r}) as child:\n"
    code += f"    child.run([Path('x')], code=Path({str(tmp_path)!r}))\n"
    process, terminal = pty.fork()
    if not process:
        os.execv(sys.executable, [sys.executable, "-c", code])
    return process, terminal


def read_until(terminal, what):
    seen = b""
    while what not in seen:
        seen += os.read(terminal, 1 << 16)
    return seen


SAVING = """
signal.signal(signal.SIGTERM, lambda *_: (open('saved', 'w').close(), print('saving'), sys.exit(75)))
print(sys.stdout.isatty(), os.get_terminal_size(1).columns, flush=True)
print('on stderr', file=sys.stderr, flush=True)
print('ready', flush=True)
while True: time.sleep(0.05)
"""


COUNTING = """
signal.signal(signal.SIGINT, lambda *_: print('interrupted', flush=True))
print('ready', flush=True)
for _ in range(40): time.sleep(0.05)
print('end', flush=True)
"""


def test_a_terminal_that_is_closed_means_to_save_and_leave(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    process, terminal = on_a_terminal(tmp_path, SAVING)
    seen = read_until(terminal, b"ready")
    assert b"True" in seen
    assert seen.index(b"on stderr") < seen.index(b"ready")
    os.close(terminal)
    os.waitpid(process, 0)
    assert (tmp_path / "saved").exists()


def test_ctrl_c_reaches_it_once(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    process, terminal = on_a_terminal(tmp_path, COUNTING)
    read_until(terminal, b"ready")
    os.write(terminal, b"\x03")
    assert read_until(terminal, b"end").count(b"interrupted") == 1
    os.waitpid(process, 0)


def test_it_sees_one_gpu_the_sealed_code_first_and_folders_by_their_whole_name(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    monkeypatch.setenv("PYTHONPATH", "mine")
    monkeypatch.setenv("PERSONA_EXP_CACHE", "cache")
    monkeypatch.setenv("RESUME_CHECKPOINT", "kept/step-00000002")
    seen = environment(tmp_path, None)
    assert seen["CUDA_VISIBLE_DEVICES"] == "3"
    assert environment(tmp_path, "5")["CUDA_VISIBLE_DEVICES"] == "5"
    assert seen["PYTHONPATH"].split(os.pathsep) == [str(tmp_path), str(Path("mine").absolute())]
    assert seen["PERSONA_EXP_CACHE"] == str(Path("cache").absolute())
    assert seen["RESUME_CHECKPOINT"] == str(Path("kept/step-00000002").absolute())


def test_a_copy_of_what_is_installed_comes_behind_the_code(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "mine")
    with Child(program=fake(tmp_path, "open('path', 'w').write(os.environ['PYTHONPATH'])")) as child:
        child.copy = tmp_path / "copy"
        child.run([tmp_path / "seal.json"], code=tmp_path)
    assert (tmp_path / "path").read_text().split(os.pathsep) == [str(tmp_path), str(tmp_path / "copy"), str(Path("mine").absolute())]


def test_the_kernels_count_of_kills_is_read_in_both_its_forms(tmp_path):
    groups = tmp_path / "cgroup"
    groups.write_text("0::/job/step\n9:memory:/job\n")
    (tmp_path / "job" / "step").mkdir(parents=True)
    (tmp_path / "job" / "step" / "memory.events").write_text("low 0\noom 4\noom_kill 2\n")
    (tmp_path / "memory" / "job").mkdir(parents=True)
    (tmp_path / "memory" / "job" / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
    assert out_of_memory_kills(groups, tmp_path) == 3
    assert out_of_memory_kills(tmp_path / "none", tmp_path) == 0
