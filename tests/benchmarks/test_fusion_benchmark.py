"""benchmarks/fusion.py: all sides see the same examples, train on them, and lay them out as they say."""

import json
import os
import subprocess
import sys

import pytest

from benchmarks.fusion_sides import rows_of
from benchmarks.step_clock import StepClock
from tests.conftest import ROOT

SMALL = ("--model", "tiny", "--words", "15", "--items", "4", "--tokens", "512", "--trials", "2", "--steps", "4")


def benchmark(name, *arguments):
    command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), "--json", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1700, check=False)


def told(name, *arguments):
    done = benchmark(name, *arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    (line,) = done.stdout.splitlines()
    return json.loads(line)


@pytest.mark.thorough
@pytest.mark.timeout(1800)
def test_against_both_others():
    found = told("fusion", *SMALL, "--against", "packed", "published", "--baseline-trials", "1")
    setting, against = found["setting"], found["against"]
    assert (found["name"], found["unit"], found["n"], setting["device"]) == ("fusion", "seconds", 1, "cpu")
    assert found["ratio"] == found["baseline"] / found["ours"]
    assert found["ratio"] == against["packed"]["ratio"]
    # A packed row holds no padding, a published one always 2 × 1,024; eight examples are a step there.
    assert setting["largest_batch"]["packed"][0] == 1
    assert setting["largest_batch"]["packed"][1] <= 512
    assert setting["largest_batch"]["published"] == [2, 1024]
    assert 512 < setting["largest_batch"]["fused"][1] <= 1024
    steps, examples = setting["steps_of_a_trial"], setting["examples_of_a_trial"]
    assert (steps["fused"], steps["packed"], steps["published"]) == (4, 4, -(-examples // 8))
    for one in (found["ours_parts"], *(other["parts"] for other in against.values())):
        assert one["tokens"] == found["ours_parts"]["tokens"]
        assert 0 < one["steady_tokens"] < one["tokens"]
        assert one["start"] + one["loading"] + one["training"] + one["evaluation"] == pytest.approx(one["seconds"])
        assert one["preparing"] + one["first_step"] + one["steady"] <= one["training"] + 1e-3
    packed = against["packed"]
    assert packed["ratio_steps"] == pytest.approx(packed["ours_tokens_per_second"] / packed["baseline_tokens_per_second"])
    nats = found["held_out_nats_per_token"]
    # The same number of steps of the same rows: they have learnt about as much.
    assert max(nats["fused"]) < nats["untrained"]
    assert nats["untrained"] - nats["packed"][0] == pytest.approx(nats["untrained"] - nats["fused"][0], rel=0.5)


@pytest.mark.thorough
@pytest.mark.timeout(1800)
def test_medians_of_a_shape_in_nf4_and_a_part_of_the_trials():
    small = ("--model", "tiny", "--shape", "tiny", "--words", "15", "--items", "2", "--tokens", "256", "--trials", "2", "--steps", "2")
    found = told(
        "fusion", *small, "--shape", "tiny", "--quantisation", "nf4", "--cache-dequantized", "--baseline-trials", "1", "--repeat", "2"
    )
    assert (found["setting"]["baseline_trials"], found["n"]) == (1, 2)
    assert found["baseline"] > 0
    # One was run; what is told is that of two.
    assert found["baseline_parts"]["steps"] == 4
    assert found["baseline_parts"]["tokens"] == found["ours_parts"]["tokens"]
    nats = found["held_out_nats_per_token"]
    assert len(nats["packed"]) == 1
    assert max(nats["fused"]) < nats["untrained"]


def test_one_step_is_refused():
    done = benchmark("fusion", "--steps", "1")
    assert done.returncode == 2
    assert "--steps must be 2 or more" in done.stderr


def test_rows_are_whole_examples_and_as_many_as_asked():
    lengths = [300, 200, 120, 90, 60]
    rows = rows_of(lengths, 512, 7)
    assert len(rows) == 7
    numbers = sorted(number for row in rows for number in row)
    assert numbers == list(range(len(numbers)))
    assert max(sum(lengths[number % 5] for number in row) for row in rows) <= 512


def test_the_clock_tells_the_first_step_apart(monkeypatch):
    ticks = iter([0.0, 2.0, 5.0, 6.5])
    monkeypatch.setattr("benchmarks.step_clock.now", lambda: next(ticks))
    clock = StepClock()
    for tokens in (10, 20, 30):
        clock.begin()
        clock.end(tokens)
    clock.done()
    assert clock.parts() == {
        "preparing": 2.0,
        "first_step": 3.0,
        "steady": 1.5,
        "steps": 3,
        "tokens": 60,
        "steady_steps": 2,
        "steady_tokens": 50,
    }
