"""Where code came from, in a working tree and in a snapshot of it."""

import json
import os
import stat
import subprocess
import sys

import pytest

from persona_exp.errors import UserError
from persona_exp.process_identity import pid_namespace
from persona_exp.trial import code_provenance
from persona_exp.trial.code_snapshot import snapshot


@pytest.fixture
def tree(tmp_path):
    """A repository with a commit, a change since, a file that git does not know yet and one that it ignores."""
    root = tmp_path / "tree"
    (root / "persona_exp" / "prompts").mkdir(parents=True)
    (root / "conf").mkdir()
    (root / "persona_exp" / "__init__.py").write_text("")
    (root / "persona_exp" / "prompts" / "é.txt").write_text("Answer.")
    (root / "conf" / "config.yaml").write_text("seed: 0\n")
    (root / "run.py").write_text("")
    (root / "requirements.lock").write_text("torch==2\n")
    (root / "notes.txt").write_text("no code")
    (root / ".gitignore").write_text("runs/\n.env\n*.secret\n")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "one")
    (root / "conf" / "config.yaml").write_text("seed: 1\n")
    (root / "persona_exp" / "new.py").write_text("new = 1\n")
    (root / ".env").write_text("KEY=canary")
    (root / "conf" / "my.secret").write_text("canary")
    yield root
    code_provenance.code_provenance.cache_clear()


def git(root, *arguments):
    subprocess.run(["git", "-C", str(root), *arguments], check=True)


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_snapshot_holds_uncommitted_changes_and_nothing_that_git_ignores(tree, tmp_path):
    folder = snapshot(tmp_path / "runs", tree)
    assert names(folder) == [
        "conf/config.yaml",
        "origin.json",
        "persona_exp/__init__.py",
        "persona_exp/new.py",
        "persona_exp/prompts/é.txt",
        "requirements.lock",
        "run.py",
    ]
    assert (folder / "conf" / "config.yaml").read_text() == "seed: 1\n"
    assert all(not path.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH) for path in folder.rglob("*") if path.is_file())
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@pytest.mark.parametrize("inside", [True, False])
def test_a_snapshot_knows_its_code_as_the_tree_did(tree, tmp_path, inside):
    """Also where it lies in an ignored folder of the repository, of which git lists nothing."""
    folder = snapshot(tree / "runs" if inside else tmp_path / "elsewhere", tree)
    there, here = code_provenance.code_provenance(folder), code_provenance.code_provenance(tree)
    assert there == here
    assert there["changed"] is True
    assert len(there["commit"]) == 40
    assert folder.name == there["digest"][:12]
    assert code_provenance.lock(folder) == code_provenance.lock(tree)


def test_a_snapshot_is_made_once(tree, tmp_path):
    folder = snapshot(tmp_path, tree)
    before = (folder / "run.py").stat().st_ino
    assert snapshot(tmp_path, tree) == folder
    assert (folder / "run.py").stat().st_ino == before


def test_edited_code_has_a_snapshot_of_its_own(tree, tmp_path):
    folder = snapshot(tmp_path, tree)
    code_provenance.code_provenance.cache_clear()
    (tree / "run.py").write_text("print()\n")
    other = snapshot(tmp_path, tree)
    assert other != folder
    assert (folder / "run.py").read_text() == ""


def test_code_edited_while_it_is_copied_is_named_after_what_was_copied(tree, tmp_path):
    digest = code_provenance.code_provenance(tree)["digest"]
    (tree / "run.py").write_text("print()\n")
    folder = snapshot(tmp_path, tree)
    assert folder.name != digest[:12]
    before = (folder / "run.py").stat().st_ino
    assert snapshot(tmp_path, tree) == folder
    assert (folder / "run.py").stat().st_ino == before
    assert code_provenance.code_provenance(folder)["digest"][:12] == folder.name


def test_what_a_killed_process_left_is_cleared_and_nothing_of_another_container(tree, tmp_path):
    here = f"{pid_namespace()}.{os.uname().nodename}"
    lost = [f".{here}.999999999", f".{here}.{os.getpid()}"]
    kept = [f".{here}.{os.getppid()}", f".1.{os.uname().nodename}.999999999", f".{pid_namespace()}.elsewhere.999999999"]
    for name in (*lost, *kept):
        (tmp_path / "code" / name).mkdir(parents=True)
    snapshot(tmp_path, tree)
    assert {path.name for path in (tmp_path / "code").glob(".*")} == set(kept)


def test_without_git_all_files_count(tree, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "conf/my.secret" in code_provenance.code_files(tree)
    assert code_provenance.code_provenance(tree)["commit"] is None


def test_this_packages_own_snapshot_runs(tmp_path):
    folder = snapshot(tmp_path)
    assert {"persona_exp", "hydra_plugins", "analysis", "conf", "run.py", "requirements.lock"} <= {path.name for path in folder.iterdir()}
    code = (
        "import json; from persona_exp.trial import code_provenance as p; print(json.dumps([str(p.ROOT), p.code_provenance()['digest']]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [str(folder), code_provenance.code_digest(folder)]


@pytest.fixture
def site_packages(tmp_path):
    """Where pip put the package, beside what others put into folders of the same names, and what was compiled there."""
    root = tmp_path / "site-packages"
    ours = ["persona_exp/__init__.py", "persona_exp/conf/config.yaml", "analysis/__init__.py", "hydra_plugins/persona_exp_plugins.py"]
    others = ["hydra_plugins/theirs.py", "analysis/theirs.py", "conf/theirs.yaml", "run.py", "requirements.lock", "torch/__init__.py"]
    compiled = "persona_exp/__pycache__/__init__.cpython-311.pyc"
    for name in (*ours, *others, compiled):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    written = root / "persona_exp-0.1.0.dist-info"
    written.mkdir()
    (written / "METADATA").write_text("Metadata-Version: 2.4\nName: persona-exp\nVersion: 0.1.0\n")
    listed = [*ours, compiled, "persona_exp-0.1.0.dist-info/METADATA", "../../../bin/persona-exp"]
    (written / "RECORD").write_text("".join(f"{name},,\n" for name in listed))
    yield root, ours
    code_provenance.code_provenance.cache_clear()


def test_a_snapshot_of_an_installed_package_holds_nothing_else_of_site_packages(site_packages, tmp_path):
    root, ours = site_packages
    folder = snapshot(tmp_path / "runs", root)
    assert names(folder) == sorted([*ours, "origin.json"])
    assert code_provenance.strays(folder) == []
    assert code_provenance.code_provenance(folder) == code_provenance.code_provenance(root)
    assert code_provenance.lock(root) is None


def test_site_packages_in_a_repository_have_no_commit_of_it(site_packages):
    root, ours = site_packages
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "one")
    assert code_provenance.code_provenance(root)["commit"] is None
    assert code_provenance.code_files(root) == sorted(ours)


def test_an_installed_package_that_no_list_is_of_is_refused(site_packages):
    root, _ = site_packages
    (root / "persona_exp-0.1.0.dist-info" / "RECORD").unlink()
    with pytest.raises(UserError, match="No list says which files"):
        code_provenance.code_files(root)
