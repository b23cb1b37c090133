"""Copies on a node's own disk: made once, checked, and never in the way."""

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from persona_exp.modeling import node_scratch_copy
from persona_exp.modeling.node_scratch_copy import SMALL_BYTES, copy_to_scratch, file_sizes, is_whole

STAGER = """
import sys
from pathlib import Path
from persona_exp.modeling import node_scratch_copy
copy = node_scratch_copy._copy
def counted(source, files, folder):
    with (Path(sys.argv[3]) / "copies").open("a") as file:
        file.write("x")
    copy(source, files, folder)
node_scratch_copy._copy = counted
print(node_scratch_copy.copy_to_scratch(Path(sys.argv[1]), sys.argv[2]))
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """As the hub's cache keeps one: links to files elsewhere, and a hidden folder of bookkeeping."""
    folder, blobs = tmp_path / "model", tmp_path / "blobs"
    for path in (folder, blobs, folder / ".cache"):
        path.mkdir()
    (blobs / "weights").write_bytes(os.urandom(SMALL_BYTES + 5))
    (folder / "model.safetensors").symlink_to(blobs / "weights")
    (folder / "config.json").write_text("{}")
    (folder / ".cache" / "lock").write_text("")
    return folder


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    path = tmp_path / "scratch"
    path.mkdir()
    return path


def test_a_model_is_copied_whole_with_links_followed(model: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_DISK", str(scratch))
    copy = copy_to_scratch(model, "$NODE_DISK")
    assert copy.is_relative_to(scratch)
    assert file_sizes(copy) == file_sizes(model) == {"config.json": 2, "model.safetensors": SMALL_BYTES + 5}
    assert not (copy / "model.safetensors").is_symlink()
    assert (copy / "model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()
    assert (copy.parent.stat().st_mode & 0o777) == 0o700


def test_several_processes_at_once_copy_once(model: Path, scratch: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", STAGER, str(model), str(scratch), str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    places = {process.communicate(timeout=300)[0].strip() for process in processes}
    assert len(places) == 1
    assert str(scratch) in places.pop()
    assert (tmp_path / "copies").read_text() == "x"


def test_another_content_gets_another_copy(model: Path, scratch: Path) -> None:
    before = copy_to_scratch(model, str(scratch))
    (model / "config.json").write_text('{"a": 1}')
    assert copy_to_scratch(model, str(scratch)) != before


def test_a_copy_that_a_cleaner_took_files_from_is_made_again(model: Path, scratch: Path) -> None:
    copy = copy_to_scratch(model, str(scratch))
    (copy / "config.json").unlink()
    assert not is_whole(copy)
    assert copy_to_scratch(model, str(scratch)) == copy
    assert is_whole(copy)
    assert [path.name for path in copy.parent.iterdir() if path.name.endswith(".lost")] == []


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.mark.parametrize(
    ("scratch_setting", "why"),
    [("$NO_SUCH_VARIABLE_HERE/x", "not set"), ("/no/such/folder", "no such folder"), ("relative", "no absolute path")],
)
def test_a_scratch_that_is_not_there_leaves_the_model_where_it_is(
    model: Path, caplog: pytest.LogCaptureFixture, scratch_setting: str, why: str
) -> None:
    assert copy_to_scratch(model, scratch_setting) == model
    (message,) = warned(caplog)
    assert why in message


def test_a_full_scratch_leaves_the_model_where_it_is(
    model: Path, scratch: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_scratch_copy.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    assert copy_to_scratch(model, str(scratch)) == model
    (message,) = warned(caplog)
    assert "GB are needed there" in message


def test_a_disk_that_fills_up_on_the_way_leaves_nothing_behind(
    model: Path, scratch: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(node_scratch_copy, "_copy_file", full)
    assert copy_to_scratch(model, str(scratch)) == model
    assert len(warned(caplog)) == 1
    assert [path.name for path in scratch.rglob("*") if path.is_file() and not path.name.endswith(".lock")] == []


def test_a_copy_that_came_out_otherwise_is_not_used(
    model: Path, scratch: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(source: Path, target: Path) -> None:
        target.write_bytes(b"[" + target.read_bytes()[1:])

    monkeypatch.setattr(node_scratch_copy.shutil, "copystat", spoil)
    assert copy_to_scratch(model, str(scratch)) == model
    (message,) = warned(caplog)
    assert "not copied as it is" in message


def test_a_folder_of_somebody_elses_is_not_trusted(model: Path, scratch: Path, caplog: pytest.LogCaptureFixture) -> None:
    theirs = scratch / "theirs"
    theirs.mkdir()
    (scratch / f"persona-exp-{os.getuid()}").symlink_to(theirs)
    assert copy_to_scratch(model, str(scratch)) == model
    assert "another user" in warned(caplog)[0]
