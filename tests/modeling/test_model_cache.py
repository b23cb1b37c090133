import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from persona_exp.modeling.model_cache import build_once, cache_folder

BUILDER = """
import sys, time
from pathlib import Path
from persona_exp.modeling.model_cache import build_once
cache, seconds = Path(sys.argv[1]), float(sys.argv[2])
def build(folder):
    with (cache / "builds").open("a") as file:
        file.write("x")
    (folder / "part").write_text("1")
    until = time.monotonic() + seconds
    while time.monotonic() < until and not (cache / "enough").exists():
        time.sleep(0.02)
    (folder / "whole").write_text("2")
print(build_once(cache, "thing", build))
"""


def start(cache: Path, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", BUILDER, str(cache), str(seconds)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for_build(cache: Path) -> None:
    end = time.monotonic() + 300
    while not list(cache.glob(".thing.*.staged/part")):
        assert time.monotonic() < end, "the builder never began"
        time.sleep(0.02)


def test_of_several_processes_one_builds_and_the_others_wait(tmp_path: Path) -> None:
    first = start(tmp_path, 300.0)
    wait_for_build(tmp_path)
    others = [start(tmp_path, 0.0) for _ in range(3)]
    said = [process.stderr.readline() for process in others if process.stderr]
    assert all("Waiting for another process" in line for line in said)
    (tmp_path / "enough").touch()
    outputs = [process.communicate(timeout=300) for process in (first, *others)]
    assert (tmp_path / "builds").read_text() == "x"
    assert {out.strip() for out, _ in outputs} == {str(tmp_path / "thing")}


def test_a_killed_builder_blocks_nobody_and_its_rest_is_removed(tmp_path: Path) -> None:
    killed = start(tmp_path, 60.0)
    wait_for_build(tmp_path)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    next_one = start(tmp_path, 0.0)
    out, err = next_one.communicate(timeout=300)
    assert out.strip() == str(tmp_path / "thing"), err
    assert (tmp_path / "thing" / "whole").is_file()
    assert not list(tmp_path.glob("*.staged")) + list(tmp_path.glob(".*.staged"))


@pytest.mark.long
def test_patience_ends_and_then_both_build_and_one_result_stands(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    slow = start(tmp_path, 300.0)
    wait_for_build(tmp_path)
    folder = build_once(tmp_path, "thing", lambda staged: (staged / "mine").write_text("3") and None, patience=0.3)
    assert (folder / "mine").is_file()
    assert "preparing it here too" in capfd.readouterr().err
    (tmp_path / "enough").touch()
    out, err = slow.communicate(timeout=300)
    assert out.strip() == str(folder), err
    assert not (folder / "whole").exists()


def test_a_failed_build_leaves_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    def fails(staged: Path) -> None:
        (staged / "part").write_text("1")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        build_once(tmp_path, "thing", fails)
    assert [path.name for path in tmp_path.iterdir()] == [".thing.lock"]
    assert build_once(tmp_path, "thing", lambda staged: (staged / "whole").write_text("2") and None) == tmp_path / "thing"


def test_files_of_the_owner_alone_become_readable_as_the_umask_says(tmp_path: Path) -> None:
    def build(staged: Path) -> None:
        (staged / "secret").write_text("1")
        (staged / "secret").chmod(0o600)

    before = os.umask(0o027)
    try:
        folder = build_once(tmp_path, "thing", build)
    finally:
        os.umask(before)
    assert (folder / "secret").stat().st_mode & 0o777 == 0o640


def test_the_environment_names_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERSONA_EXP_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("PERSONA_EXP_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "persona-exp"
