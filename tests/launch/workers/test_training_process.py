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

from persona_exp.cgroup_memory import out_of_memory_kills
from persona_exp.launch.recovery.memory_backoff import MemoryLimits
from persona_exp.launch.workers.close_dead_attempts import attempt_of
from persona_exp.launch.workers.training_process import TrainingProcess, environment
from persona_exp.process_identity import node_name
from tests.launch.rehearsed import recorded_trial

ROOT = Path(__file__).parents[3]


def fake(tmp_path, body):
    """A program in the place of the trial's."""
    path = tmp_path / "fake.py"
    path.write_text("import os, signal, sys, time\n" + textwrap.dedent(body))
    return (sys.executable, str(path))


def run(tmp_path, body, *, during=None, **options):
    with TrainingProcess(program=fake(tmp_path, body)) as child:
        if during:
            threading.Thread(target=during, args=(child,), daemon=True).start()
        return child, child.run([tmp_path / "seal.json"], code=tmp_path, **options)


READY = "open('ready', 'w').close()\n"


def when_ready(tmp_path):
    """Wait for a body to come past READY: its signal handlers are there then."""
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)


def test_the_command_says_what_is_to_be_run(tmp_path):
    _, outcome = run(
        tmp_path,
        "open('argv', 'w').write(' '.join(sys.argv[1:]))",
        limits=MemoryLimits(micro_batch_size=2, together=4),
        dead={"abc": "3=killed=by hand"},
    )
    assert outcome.code == 0
    said = (tmp_path / "argv").read_text()
    assert said == f"--parent {os.getpid()} --micro-batch=2 --together=4 --dead=abc=3=killed=by hand {tmp_path / 'seal.json'}"


def test_its_attempt_is_told_from_that_of_an_earlier_process_of_the_same_number(tmp_path):
    _, outcome = run(tmp_path, "")
    directory = recorded_trial(tmp_path, {"host": node_name(), "pid": outcome.pid, "process_started": "boot:1", "status": "interrupted"})
    assert attempt_of(directory, outcome.pid, None)
    assert attempt_of(directory, outcome.pid, outcome.started) is None
    directory = recorded_trial(
        tmp_path, {"host": node_name(), "pid": outcome.pid, "process_started": outcome.started, "status": "interrupted"}
    )
    assert attempt_of(directory, outcome.pid, outcome.started)


def test_a_signal_reaches_the_child(tmp_path):
    def term(child):
        when_ready(tmp_path)
        os.kill(os.getpid(), signal.SIGTERM)

    child, outcome = run(tmp_path, f"signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))\n{READY}time.sleep(600)", during=term)
    assert (outcome.code, child.signalled) == (75, "SIGTERM")


def test_a_second_interrupt_kills_at_once(tmp_path):
    def twice(child):
        when_ready(tmp_path)
        os.kill(os.getpid(), signal.SIGINT)
        while child.signalled is None:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    child, outcome = run(tmp_path, f"signal.signal(signal.SIGINT, lambda *_: None)\n{READY}while True: time.sleep(1)", during=twice)
    assert outcome.code == -signal.SIGKILL
    assert child.stopped_at_once


def test_two_terms_kill_nobody(tmp_path):
    def twice(child):
        when_ready(tmp_path)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGUSR2)

    body = f"for one in (signal.SIGTERM, signal.SIGUSR2): signal.signal(one, lambda *_: None)\n{READY}time.sleep(2)"
    _, outcome = run(tmp_path, body, during=twice)
    assert outcome.code == 0


def test_it_is_looked_at_while_it_runs(tmp_path):
    looks, began = [], time.monotonic()
    run(tmp_path, "time.sleep(1)", watch=lambda: looks.append(1), every_seconds=0.2)
    assert 1 <= len(looks) <= (time.monotonic() - began) / 0.2 + 1


def test_a_reader_that_left_does_not_break_it(tmp_path):
    body = "for line in range(20000): print('line', line, flush=True)\nopen('done', 'w').close()"
    code = "from pathlib import Path; from persona_exp.launch.workers.training_process import TrainingProcess\n"
    code += f"with TrainingProcess(program={fake(tmp_path, body)!r}) as child:\n"
    code += f"    print(child.run([Path('x')], code=Path({str(tmp_path)!r})).code, file=open({str(tmp_path / 'code')!r}, 'w'))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout.readline() == b"line 0\n"
    process.stdout.close()
    process.wait(timeout=300)
    assert (tmp_path / "done").exists()
    assert (tmp_path / "code").read_text() == "0\n"


def on_a_terminal(tmp_path, body):
    """A worker with this child on a terminal of its own; its process and our end of the terminal."""
    code = "from pathlib import Path; from persona_exp.launch.workers.training_process import TrainingProcess\n"
    code += f"with TrainingProcess(program={fake(tmp_path, body)!r}) as child:\n"
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


def test_the_child_knows_its_workers_sweep_and_no_other(tmp_path, monkeypatch):
    monkeypatch.setenv("PERSONA_EXP_SWEEP", "of-a-worker-above")
    body = "open('sweep', 'w').write(os.environ.get('PERSONA_EXP_SWEEP', 'none'))"
    for sweep in (tmp_path / "lora.r=8,16-1a2b3c4d", None):
        run(tmp_path, body, sweep=sweep)
        assert (tmp_path / "sweep").read_text() == (sweep.name if sweep else "none")


def test_a_copy_of_what_is_installed_comes_behind_the_code(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "mine")
    with TrainingProcess(program=fake(tmp_path, "open('path', 'w').write(os.environ['PYTHONPATH'])")) as child:
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
