"""The Python environment on a node's own disk."""

import subprocess
import sys
from pathlib import Path

import pytest

from persona_exp.launch.workers import environment_copy as module
from persona_exp.launch.workers.environment_copy import environment_copy


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site-packages"
    (folder / "seal").mkdir(parents=True)
    (folder / "seal" / "__init__.py").write_text("where = __file__\n")
    (folder / "seal-1.0.dist-info").mkdir()
    (folder / "seal-1.0.dist-info" / "RECORD").write_text("seal/__init__.py,sha256=x,18\n")
    monkeypatch.setattr(module.sysconfig, "get_paths", lambda: {"purelib": str(folder)})
    return folder


def test_a_child_imports_from_the_copy(packages: Path, tmp_path: Path) -> None:
    copy = environment_copy(str(tmp_path))
    assert copy is not None
    told = subprocess.run(
        [sys.executable, "-c", "import seal; print(seal.where)"], env={"PYTHONPATH": str(copy)}, capture_output=True, text=True, check=True
    )
    assert Path(told.stdout.strip()) == copy / "seal" / "__init__.py"


def test_it_is_copied_once_and_anew_when_a_package_changes(packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = environment_copy(str(tmp_path))
    with monkeypatch.context() as patch:
        # What takes long on a shared file system is not done again.
        patch.setattr(module, "file_sizes", lambda _: pytest.fail("the shared folder was listed again"))
        assert environment_copy(str(tmp_path)) == first
    (packages / "seal-1.0.dist-info" / "RECORD").write_text("seal/__init__.py,sha256=y,19\n")
    assert environment_copy(str(tmp_path)) not in (first, None)


def test_without_a_scratch_there_is_none(packages: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert environment_copy("$NO_SUCH_VARIABLE_HERE") is None
    assert len(caplog.records) == 1
