"""The kills hit what they say they hit, and a run that ends otherwise is seen."""

import json
import os
import random
import signal
import subprocess
import sys

import pytest

from benchmarks import resume
from benchmarks.tiny_run import ROOT, TinyRun, send, stopped, training_child, tree
from tests.benchmarks.rehearsal import rehearsal

pytestmark = pytest.mark.long


def benchmark(root, *arguments):
    command = [sys.executable, str(ROOT / "benchmarks" / "resume.py"), "--json", "--root", str(root), *arguments]
    # What ended wrong is kept to be looked at: of a rehearsal, below its own folder.
    kept = {} if root == ROOT else {"TMPDIR": str(root)}
    return subprocess.run(command, capture_output=True, text=True, timeout=1700, check=False, env={**os.environ, **kept})


def test_it_counts_kills_by_what_they_fell_into_and_whom_they_took(tmp_path):
    done = benchmark(rehearsal(tmp_path), "--kills", "24", "--jobs", "2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    result = json.loads(done.stdout)
    assert (result["name"], result["identical"], result["of"], result["different"]) == ("resume", 24, 24, [])
    assert result["took"] == {"child": 8, "command": 8, "all": 8}
    assert result["variants"] == {"nf4": 12, "fp32": 12}
    # Six of each were meant; a kill at any time may fall into them too.
    assert result["fell_into"]["saving"] >= 6
    assert result["fell_into"]["evaluating"] >= 6
    assert 0 < result["longest_loss_steps"] <= 3
    assert "kills: 24/24" in done.stderr


def test_a_run_that_ends_otherwise_is_seen(tmp_path):
    done = benchmark(rehearsal(tmp_path, "forgetful"), "--kills", "4", "--jobs", "2")
    assert done.returncode == 1
    result = json.loads(done.stdout)
    assert result["identical"] + len(result["different"]) == 4
    assert result["different"][0]["folder"]


@pytest.mark.parametrize("wanted", ["saving", "training", "evaluating"])
def test_a_kill_falls_into_what_was_wanted(tmp_path, wanted):
    root = rehearsal(tmp_path)
    alone = resume.reference(TinyRun("nf4", resume._made(tmp_path / "alone"), root))
    assert alone.spans[wanted] > 0.02
    for draw in range(8):
        run = TinyRun("nf4", resume._made(tmp_path / f"killed-{draw}"), root)
        if fell_into := resume.strike(run, wanted, "all", alone, random.Random(draw)):
            break
    assert fell_into == run.where() == wanted  # Whatever was staged is still there.
    run.finish()
    assert run.result() == alone.result
    assert run.attempts() == 2


def test_steps_done_again_are_counted_over_attempts(tmp_path):
    run = TinyRun("nf4", tmp_path)
    for number, steps in ((1, range(1, 9)), (2, range(7, 10)), (3, ()), (4, range(10, 15))):
        log = run.trials / "abc" / "attempts" / f"{number:04}" / "train.jsonl"
        log.parent.mkdir(parents=True)
        log.write_text("".join(json.dumps({"step": step}) + "\n" for step in steps))
    assert run.steps_lost() == 2


def test_processes_are_found_and_held():
    nested = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)', 'persona_exp.trial'])"
    process = subprocess.Popen([sys.executable, "-c", nested])
    try:
        while (child := training_child(process.pid)) is None:
            assert process.poll() is None
        assert list(tree(process.pid)) == [process.pid, child]
        assert stopped(child)
        send(child, signal.SIGKILL)
        assert process.wait(timeout=60) == 0
        assert not stopped(child)
    finally:
        process.kill()


@pytest.mark.thorough
@pytest.mark.timeout(1800)
def test_the_real_command_killed_in_a_save_and_an_evaluation_changes_no_bit():
    done = benchmark(ROOT, "--kills", "2", "--phases", "saving", "evaluating", "--jobs", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert result["identical"] == result["of"] == 2
    assert result["fell_into"] == {"saving": 1, "evaluating": 1}
    assert result["variants"] == {"nf4": 1, "fp32": 1}
