"""Every harm is done, and what the command makes of it is told apart."""

import json
import os
import random
import subprocess
import sys

import pytest

from benchmarks import corruption
from benchmarks.corruption import FOLDER, HARMS, Case
from benchmarks.tiny_run import ROOT, Result
from tests.benchmarks.rehearsal import rehearsal

pytestmark = pytest.mark.long

GOOD = Result("a", ("b",))


def benchmark(root, *arguments):
    command = [sys.executable, str(ROOT / "benchmarks" / "corruption.py"), "--json", "--root", str(root), *arguments]
    # What ended wrong is kept to be looked at: of a rehearsal, below its own folder.
    kept = {} if root == ROOT else {"TMPDIR": str(root)}
    return subprocess.run(command, capture_output=True, text=True, timeout=1700, check=False, env={**os.environ, **kept})


def checkpoints(folder):
    for step in (3, 6):
        path = folder / "abc" / "attempts" / "0001" / "checkpoints" / f"step-{step:08}"
        path.mkdir(parents=True)
        for name in ("adapter_model.safetensors", "manifest.json"):
            (path / name).write_bytes(b"0123456789")
    return folder, path


@pytest.mark.parametrize(
    ("harm", "left"),
    [
        ("truncated", lambda file: 0 < len(file.read_bytes()) < 10),
        ("emptied", lambda file: file.read_bytes() == b""),
        ("bit-flipped", lambda file: sum((a ^ b).bit_count() for a, b in zip(file.read_bytes(), b"0123456789", strict=True)) == 1),
        ("removed", lambda file: not file.exists()),
    ],
)
def test_harms(tmp_path, harm, left):
    trials, newest = checkpoints(tmp_path)
    corruption.harm(trials, Case("newest", "manifest.json", harm), random.Random(1))
    assert left(newest / "manifest.json")
    before = newest.with_name("step-00000003")
    assert (before / "manifest.json").read_bytes() == b"0123456789"


def test_harms_to_folders_and_to_all(tmp_path):
    trials, newest = checkpoints(tmp_path)
    before = newest.with_name("step-00000003")
    corruption.harm(trials, Case("newest", FOLDER, "emptied"), random.Random(1))
    assert not list(newest.iterdir())
    corruption.harm(trials, Case("all", FOLDER, "removed"), random.Random(1))
    assert not newest.exists()
    assert not before.exists()


def test_every_file_is_harmed_in_every_way(tmp_path):
    _, newest = checkpoints(tmp_path)
    cases = corruption.every_case(newest)
    for name in ("adapter_model.safetensors", "manifest.json"):
        assert {case.harm for case in cases if case.scope == "newest" and case.file == name} == set(HARMS)
    assert Case("newest", FOLDER, "removed") in cases
    assert {case.scope for case in cases} == {"newest", "all", "chosen"}


@pytest.mark.parametrize(
    ("code", "words", "result", "outcome"),
    [
        (0, "", GOOD, "identical"),
        (0, "", Result("a", ("c",)), "wrong"),
        (1, "error: trial abc failed: it is gone.\n", GOOD, "refused"),
        (1, "error: one\nerror: two\n", GOOD, "wrong"),
        (1, "Traceback (most recent call last):\nerror: one\n", GOOD, "wrong"),
        (-11, "", GOOD, "wrong"),
    ],
)
def test_outcomes(code, words, result, outcome):
    assert corruption.judge(code, words, lambda: result, GOOD) == outcome


def test_a_sound_run_passes(tmp_path):
    done = benchmark(rehearsal(tmp_path), "--jobs", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert result["by_scope"] == {"newest": {"identical": 18}, "all": {"refused": 4, "identical": 1}, "chosen": {"refused": 5}}
    assert (result["identical"], result["refused"], result["wrong"], result["of"]) == (19, 9, 0, 28)


@pytest.mark.parametrize("flaw", ["gullible", "wordy"])
def test_a_flawed_one_is_found_out(tmp_path, flaw):
    done = benchmark(rehearsal(tmp_path, flaw), "--jobs", "2")
    assert done.returncode == 1
    result = json.loads(done.stdout)
    assert result["wrong"] == len(result["different"]) > 0
    assert result["different"][0]["case"]["file"]


@pytest.mark.thorough
@pytest.mark.timeout(1800)
def test_the_real_command_survives_or_refuses():
    done = benchmark(ROOT, "--cases", "3", "--variants", "nf4", "--jobs", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["by_scope"] == {"newest": {"identical": 3}}
