"""setup.sh with another build of torch: the lock's versions otherwise, and no package index of ours."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text().splitlines()
PYTHON = """#!/bin/bash
echo "$@" >>"$CALLS"
while [ $# -gt 0 ]; do [ "$1" = --requirement ] && cat "$2" >"$CALLS.lock"; shift; done
exit ${PIP_ENDS:-0}
"""


@pytest.fixture
def setup(tmp_path):
    """`setup("cu126")`: how setup.sh ends in a conda environment whose pip only notes what it is asked, the call and the versions."""
    environment = tmp_path / "conda"
    (environment / "bin").mkdir(parents=True)
    (environment / "conda-meta").mkdir()
    python = environment / "bin" / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)

    def run(build, **variables):
        calls = tmp_path / "calls"
        told = {"PATH": os.environ["PATH"], "CALLS": str(calls), "TORCH": build, **variables}
        command = ["bash", str(ROOT / "setup.sh"), str(environment)]
        done = subprocess.run(command, env=told, capture_output=True, text=True, check=False)
        lock = Path(f"{calls}.lock")
        return done, calls.read_text() if calls.exists() else "", lock.read_text().splitlines() if lock.exists() else []

    return run


@pytest.mark.parametrize("build", ["cu126", "cpu"])
def test_only_torch_is_of_another_build(setup, build):
    done, call, lock = setup(build)
    assert done.returncode == 0, done.stderr
    assert "index" not in call
    (changed,) = set(lock) - set(LOCK)
    (locked,) = set(LOCK) - set(lock)
    assert changed.startswith("torch==")
    assert changed == locked.replace(locked.split()[0].split(";")[0], f"{locked.split()[0].split(';')[0]}+{build}", 1)


def test_the_index_is_the_person_s(setup):
    _, call, _ = setup("cu126", TORCH_INDEX_URL="https://index.example/cu126")
    assert "--extra-index-url https://index.example/cu126" in call


def test_without_a_build_the_lock_is_installed_as_it_is(setup):
    done, _, lock = setup("")
    assert (done.returncode, lock) == (0, LOCK)


def test_a_build_that_no_index_has_is_one_sentence(setup):
    done, _, _ = setup("cu126", PIP_ENDS="1")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "+cu126 could not be installed" in done.stderr
    assert "TORCH_INDEX_URL" in done.stderr


def test_what_is_no_build_is_refused(setup):
    done, call, _ = setup("12.6; rm")
    assert (done.returncode, call) == (2, "")
    assert "is no build of torch" in done.stderr


def test_make_installs_a_build_that_is_asked_for_however_fresh_the_environment(tmp_path):
    for name in ("Makefile", "setup.sh", "requirements.lock", "pyproject.toml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / ".ready").touch()
    told = {name: value for name, value in os.environ.items() if name not in ("CONDA_DEFAULT_ENV", "MAKEFLAGS", "TORCH")}

    def asked(*arguments, **variables):
        command = ["make", "--dry-run", "setup", *arguments]
        return subprocess.run(command, cwd=tmp_path, env={**told, **variables}, capture_output=True, text=True, check=True).stdout

    assert "setup.sh" not in asked()
    assert "bash setup.sh .venv" in asked("TORCH=cu126")
    conda = {"CONDA_DEFAULT_ENV": "persona-exp", "CONDA_PREFIX": "/opt/env"}
    assert "setup.sh" not in asked(**conda)
    assert "bash setup.sh /opt/env" in asked("TORCH=cu126", **conda)
