"""A runs/ folder that a group shares: what is made in it is the group's, whatever a person's umask; results may be read by all."""

import os
import stat
from contextlib import contextmanager

import pytest

from persona_exp import atomic_files

NOBODY = 65534
GROUP = 4242


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def umask(mask):
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def another_person(*groups):
    """Somebody else, who is in these groups; the superuser alone can be somebody else."""
    if os.getuid():
        pytest.skip("needs the superuser, to act as two persons")
    before = os.getgroups()
    os.setgroups(groups)
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(before)


@pytest.fixture
def shared(tmp_path):
    """A folder that the group may write to and that hands its group on."""
    for path in (tmp_path, *list(tmp_path.parents)[:3]):
        if path.owner() == tmp_path.owner():
            path.chmod(mode(path) | 0o055)
    folder = tmp_path / "runs"
    folder.mkdir()
    if not os.getuid():
        os.chown(folder, 0, GROUP)
    folder.chmod(0o2775)
    return folder


def a_result(folder):
    """What a trial publishes: safetensors makes its files for their owner alone."""
    staged = folder / "attempts" / "0001" / "staging" / "adapter"
    atomic_files.make_folder(staged)
    (staged / "adapter_config.json").write_text("{}")
    private = staged / "adapter_model.safetensors"
    private.touch(mode=0o600)
    assert atomic_files.publish(staged, folder / "adapter")
    return folder / "adapter"


@pytest.mark.parametrize(("mask", "of_folders", "of_files"), [(0o022, 0o755, 0o644), (0o027, 0o750, 0o640), (0o077, 0o700, 0o600)])
def test_published_files_follow_the_umask(tmp_path, mask, of_folders, of_files):
    with umask(mask):
        adapter = a_result(tmp_path)
    assert mode(adapter) == of_folders
    assert {mode(path) for path in adapter.iterdir()} == {of_files}


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_what_is_made_in_a_groups_folder_is_the_groups(shared, mask):
    with umask(mask):
        trial = shared / "trials" / "a"
        atomic_files.write_json(trial / "provenance.json", {})
        assert atomic_files.create_text(trial / "attempts" / "0001.json", "{}")
        assert atomic_files.create_text(trial / "attempts" / "0002.json", "{}", flushed=False)
        a_result(trial)
    for path in shared.rglob("*"):
        wanted = 0o2070 if path.is_dir() else 0o060
        assert mode(path) & wanted == wanted, path
        assert path.stat().st_gid == shared.stat().st_gid


def test_what_is_read_only_stays_so(shared):
    staged = shared / ".staged"
    staged.mkdir()
    (staged / "run.py").write_text("")
    (staged / "run.py").chmod(0o444)
    assert atomic_files.publish(staged, shared / "code")
    assert mode(shared / "code" / "run.py") == 0o444


def test_another_of_the_group_goes_on_where_one_has_begun(shared):
    with umask(0o077):
        atomic_files.create_text(shared / "trials" / "a" / "attempts" / "0001.json", "{}")
        atomic_files.make_folder(shared / "trials" / "a" / "attempts" / "0001" / "staging")
    with another_person(GROUP):
        attempts = shared / "trials" / "a" / "attempts"
        assert atomic_files.create_text(attempts / "0002.json", "{}")
        (attempts / "0001" / "staging").rename(attempts / "0001" / "fenced")
        atomic_files.write_text(attempts / "0001.json", "{ }")
    assert (attempts / "0001.json").stat().st_gid == GROUP


def test_a_folder_that_another_of_the_group_makes_in_this_moment_is_theirs_to_open(shared, monkeypatch):
    real = os.mkdir

    def made_by_another(path, *rest):
        real(path, *rest)
        os.chown(path, 0, GROUP)
        raise FileExistsError(path)

    monkeypatch.setattr(os, "mkdir", made_by_another)
    monkeypatch.setattr(os, "chmod", lambda *_, **__: pytest.fail("only its owner may"))
    atomic_files.make_folder(shared / "trials")
    with pytest.raises(FileExistsError):
        atomic_files.make_folder(shared / "code", exist_ok=False)


def test_without_the_group_nothing_changes(tmp_path):
    with umask(0o022):
        atomic_files.write_text(tmp_path / "trials" / "a" / "x.json", "{}")
    assert mode(tmp_path / "trials" / "a") == 0o755
    assert mode(tmp_path / "trials" / "a" / "x.json") == 0o644
