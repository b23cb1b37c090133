"""Sweeps on this machine."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from persona_exp.launch.workers.local_workers import _Titles, run_locally
from persona_exp.process_identity import process_started
from tests.launch.rehearsed import attempts, running, sealed, submitted, until

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("one_copy_of_the_code")]

ROOT = Path(__file__).parents[3]


@pytest.fixture
def trials(config, tmp_path):
    return lambda number: sealed(config, tmp_path, number)


def launcher(made, n_jobs, **environment):
    """A launcher as a process of its own."""
    code = "import sys; from pathlib import Path; from persona_exp.launch.workers.local_workers import run_locally\n"
    code += f"sys.exit(run_locally(Path({str(made.path)!r}), n_jobs={n_jobs}, gpus=[], titles={{}}))"
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True)


def ends(folder, seals):
    return [[one["status"] for one in attempts(folder, seal)] for seal in seals]


def test_one_after_the_other_with_a_headline_each(trials, tmp_path, capfd):
    seals = trials(2)
    made = submitted(tmp_path, [[seal] for seal in seals])
    ids = [seal.split("/")[0] for seal in seals]
    assert run_locally(made.path, n_jobs=1, gpus=[], titles={ids[0]: "seed=0", ids[1]: "seed=1"}) == 0
    out = capfd.readouterr().out
    assert f"\n[1/2] seed=0 (trial {ids[0]})\n" in out
    assert f"\n[2/2] seed=1 (trial {ids[1]}, about 0:" in out


def test_side_by_side_each_once_and_into_logs(trials, tmp_path, capfd):
    seals = trials(5)
    made = submitted(tmp_path, [[seal] for seal in seals])
    assert run_locally(made.path, n_jobs=3, gpus=[], titles={}) == 0
    assert ends(tmp_path, seals) == [["finished"]] * 5
    assert "5 finished" in capfd.readouterr().out
    for seal in seals:
        assert (tmp_path / "runs" / "trials" / seal.split("/")[0] / "attempts" / "0001" / "output.log").exists()
    assert (made.folder / "logs" / "worker-2.log").exists()


def test_each_worker_has_a_gpu_of_its_own(trials, tmp_path, monkeypatch):
    seals = trials(2)
    started = []
    popen = subprocess.Popen

    def noted(command, **options):
        started.append((command[command.index("--gpu") + 1], options["env"]["CUDA_VISIBLE_DEVICES"]))
        return popen(command, **options)

    monkeypatch.setattr(subprocess, "Popen", noted)
    run_locally(submitted(tmp_path, [[seal] for seal in seals]).path, n_jobs=2, gpus=["4", "7"], titles={})
    assert started == [("4", "4"), ("7", "7")]


@pytest.mark.parametrize(("told", "threads"), [(None, "2"), ("3", "3")])
def test_workers_share_the_cores_unless_told(trials, tmp_path, monkeypatch, told, threads):
    seals, started, popen = trials(2), [], subprocess.Popen

    def noted(command, **options):
        started.append(options["env"]["OMP_NUM_THREADS"])
        return popen(command, **options)

    monkeypatch.setattr(subprocess, "Popen", noted)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(4))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if told:
        monkeypatch.setenv("OMP_NUM_THREADS", told)
    run_locally(submitted(tmp_path, [[seal] for seal in seals]).path, n_jobs=2, gpus=[], titles={})
    assert started == [threads] * 2


def test_a_killed_worker_is_started_again(trials, tmp_path):
    seals = trials(2)
    made = submitted(tmp_path, [[seal] for seal in seals])
    process = launcher(made, 2, PERSONA_EXP_NOOP_SECONDS="3")
    child = running(tmp_path, seals[0])
    os.kill(parent(child), signal.SIGKILL)
    process.communicate(timeout=300)
    assert process.returncode == 0
    assert ends(tmp_path, seals) == [["interrupted", "finished"], ["finished"]]


def test_interrupted_they_all_save_and_leave(trials, tmp_path):
    seals = trials(3)
    process = launcher(submitted(tmp_path, [[seal] for seal in seals]), 2, PERSONA_EXP_NOOP_SECONDS="20")
    for seal in seals[:2]:
        running(tmp_path, seal)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=300)
    assert process.returncode == 75
    assert ends(tmp_path, seals) == [["interrupted"], ["interrupted"], []]


def test_when_the_launcher_is_killed_nothing_runs_on(trials, tmp_path):
    seals = trials(2)
    process = launcher(submitted(tmp_path, [[seal] for seal in seals]), 2, PERSONA_EXP_NOOP_SECONDS="20")
    children = [running(tmp_path, seal) for seal in seals]
    processes = [*children, *map(parent, children)]
    process.kill()
    process.communicate()
    until(lambda: not any(map(process_started, processes)))
    assert ends(tmp_path, seals) == [["interrupted"]] * 2


def parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_trials_that_start_together_are_one_paragraph(capfd):
    told = _Titles({"a": "lora.r=8"}, 4)
    told("a/seals/1.json")
    told("b/seals/1.json")
    time.sleep(0.2)
    told("c/seals/1.json")
    told("d/seals/1.json")
    first, second = capfd.readouterr().out.strip().split("\n\n")
    assert first == "[1/4] lora.r=8 (trial a)\n[2/4]  (trial b)"
    assert second == "[3/4]  (trial c, about 0:00 left)\n[4/4]  (trial d)"
