"""benchmarks/search.py: a small search with kills, and a small study loaded."""

import json
import subprocess
import sys

import pytest

from benchmarks.search import FOREIGN, TORN, batch_barrier, put, steps_repeated
from persona_exp.search.ask_files import ask_numbers
from tests.conftest import ROOT


def told(*arguments):
    command = [sys.executable, str(ROOT / "benchmarks" / "search.py"), "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    (line,) = done.stdout.splitlines()
    return json.loads(line)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_nothing_is_lost_or_made_twice():
    found = told("--trials", "8", "--workers", "4", "--kills", "3", "--median-seconds", "1.5", "--steps", "4")
    assert (found["name"], found["unit"], found["holds"]) == ("search", "seconds", True)
    assert (found["completed"], found["twice"], found["lost"], found["torn"], found["killed"]) == (8, 0, 0, 2, 3)
    assert found["ratio"] == pytest.approx(found["baseline"] / found["ours"], rel=0.01)
    assert 0 < found["asking_cpu"] < found["asking"] < 1


@pytest.mark.long
def test_a_study_is_loaded():
    found = told("--trials", "50", "--load-only")
    assert (found["name"], found["asks"]) == ("search_load", 50)
    assert 0 < found["load_cpu_seconds"] < 60
    assert found["memory_mb"] > 10
    assert set(found["asked"]) == {"optim.lr", "lora.r", "lora.dropout"}


def test_a_barrier_waits_for_the_longest_of_each_batch():
    assert batch_barrier([1.0, 4.0, 2.0, 3.0, 5.0], 2) == 4.0 + 3.0 + 5.0


def test_steps_begun_again_are_counted_by_attempt(tmp_path):
    for number, steps in ((1, "1 2 3"), (2, ""), (3, "3 4"), (4, "6")):
        attempt = tmp_path / "attempts" / f"{number:04}"
        attempt.mkdir(parents=True)
        attempt.with_suffix(".json").touch()
        (attempt / "steps.jsonl").write_text("\n".join(steps.split()))
    assert steps_repeated(tmp_path) == [0, 1, -1]


def test_a_torn_file_takes_the_place_of_the_next_ask(tmp_path):
    for name in (*FOREIGN, *TORN):
        put(tmp_path / "asks", name)
    assert ask_numbers(tmp_path) == [0, 1]
