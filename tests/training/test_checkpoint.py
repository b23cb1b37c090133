"""A checkpoint is whole or it is not used."""

import errno
import json
import os
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_exp.errors import UserError
from persona_exp.training import checkpoint, checkpoint_disk_space
from persona_exp.training.checkpoint_manifest import MANIFEST, damage


def staged(folder, content=b"weights", name="adapter.safetensors"):
    folder.mkdir(parents=True)
    (folder / name).write_bytes(content)
    (folder / "nested").mkdir()
    (folder / "nested" / "state.json").write_text("{}")
    return folder


def save(root, step, keep=2):
    return checkpoint.save(staged(root / ".staging" / f"checkpoint-{step}"), root, step=step, keep=keep)


def adopted(folders, destination):
    """The name of the checkpoint that is taken; None for none."""
    found = checkpoint.adopt(folders, destination, expected_step=None)
    return found and found.name


@given(st.floats(0, 1e4), st.floats(0, 1e6))
def test_saving_takes_a_second_at_a_time_or_a_twentieth_of_it(took, ago):
    assert checkpoint.affordable(took, ago) == (took <= 1 or ago >= 20 * took)


def test_the_newest_of_several_folders_is_found(tmp_path):
    save(tmp_path / "0001", 5)
    expected = save(tmp_path / "0002", 10)
    save(tmp_path / "0003", 7)
    assert adopted(sorted(tmp_path.iterdir()), tmp_path / "copy") == expected.name
    assert checkpoint.step_of(expected) == 10


def test_none_where_nothing_was_saved(tmp_path):
    assert adopted([tmp_path, tmp_path / "absent"], tmp_path / "copy") is None


def test_only_the_last_are_kept(tmp_path):
    for step in (1, 2, 3, 4):
        save(tmp_path, step, keep=2)
    assert sorted(path.name for path in tmp_path.glob("step-*")) == ["step-00000003", "step-00000004"]


@pytest.mark.parametrize(
    "harm",
    [
        lambda c: (c / "adapter.safetensors").unlink(),
        lambda c: (c / "adapter.safetensors").write_bytes(b""),
        lambda c: (c / "adapter.safetensors").write_bytes(b"weightt"),
        lambda c: (c / "nested" / "state.json").write_text("{ }"),
        lambda c: (c / "more").write_text("x"),
        lambda c: (c / MANIFEST).unlink(),
        lambda c: (c / MANIFEST).write_text("{"),
        lambda c: (c / MANIFEST).write_bytes(b"\xff" + (c / MANIFEST).read_bytes()),
        lambda c: (c / MANIFEST).write_text("[]"),
        lambda c: (c / MANIFEST).write_text(json.dumps({"step": 9})),
        lambda c: (c / MANIFEST).write_text((c / MANIFEST).read_text().replace('"step": 2', '"step": 3')),
        lambda c: c.rename(c.with_name("step-00000003")),
    ],
)
def test_a_damaged_one_is_passed_over_for_the_one_before(tmp_path, harm, caplog):
    before = save(tmp_path, 1)
    last = save(tmp_path, 2)
    harm(last)
    assert adopted([tmp_path], tmp_path / "copy") == before.name
    assert "damaged" in caplog.text


def test_adopting_copies_verifies_and_sets_the_damaged_aside(tmp_path, caplog):
    before = save(tmp_path / "0001", 1)
    last = save(tmp_path / "0001", 2)
    (last / "adapter.safetensors").write_bytes(b"")
    adopted = checkpoint.adopt([tmp_path / "0001"], tmp_path / "0002" / "resumed", expected_step=2)
    assert adopted == tmp_path / "0002" / "resumed" / before.name
    assert damage(adopted) is None
    assert sorted(path.name for path in (tmp_path / "0001").glob("*step-*")) == [f"damaged-{last.name}", before.name]
    assert "adapter.safetensors is not what was saved" in caplog.text
    assert "goes on from step 1" in caplog.text


def test_nothing_to_adopt_where_nothing_was_saved(tmp_path):
    assert checkpoint.adopt([tmp_path / "0003"], tmp_path / "resumed", expected_step=None) is None


@pytest.mark.parametrize("lost", ["removed", "damaged", "damaged and unrecorded"])
def test_a_run_never_begins_anew_in_silence(tmp_path, lost):
    last = save(tmp_path / "0001", 2)
    if lost == "removed":
        shutil.rmtree(last)
    else:
        (last / MANIFEST).unlink()
    for _ in range(2):  # The second time, what was damaged has been set aside.
        with pytest.raises(UserError, match=r"No whole checkpoint of abc123 .*`persona-exp retry abc123 --from-scratch`"):
            checkpoint.adopt(
                [tmp_path / "0001"], tmp_path / "resumed", expected_step=None if lost.endswith("unrecorded") else 2, run="abc123"
            )


def test_what_was_adopted_outlives_its_source(tmp_path):
    source = save(tmp_path / "0001", 2)
    adopted = checkpoint.adopt([tmp_path / "0001"], tmp_path / "resumed", expected_step=2)
    shutil.rmtree(source)
    assert damage(adopted) is None


def test_a_checkpoint_that_vanishes_while_it_is_copied_is_not_called_damaged(tmp_path, monkeypatch, caplog):
    before, last = save(tmp_path / "0001", 1), save(tmp_path / "0001", 2)
    whole = shutil.copytree

    def gone(source, *arguments, **more):
        if source == last:
            raise FileNotFoundError(errno.ENOENT, "gone")
        return whole(source, *arguments, **more)

    monkeypatch.setattr(shutil, "copytree", gone)
    adopted = checkpoint.adopt([tmp_path / "0001"], tmp_path / "resumed", expected_step=2)
    assert adopted.name == before.name
    assert last.is_dir()
    assert "cannot be taken" in caplog.text


def test_where_links_cannot_be_made_files_are_copied(tmp_path, monkeypatch):
    source = save(tmp_path / "0001", 1)

    def refuse(*_):
        raise OSError(errno.EXDEV, "another file system")

    monkeypatch.setattr(os, "link", refuse)
    adopted = checkpoint.adopt([tmp_path / "0001"], tmp_path / "resumed", expected_step=1)
    assert damage(adopted) is None
    assert (adopted / "adapter.safetensors").stat().st_ino != (source / "adapter.safetensors").stat().st_ino


def test_a_checkpoint_named_by_hand(tmp_path):
    chosen = save(tmp_path / "0001", 1)
    save(tmp_path / "0001", 2)
    renamed = tmp_path / "kept by hand"
    shutil.copytree(chosen, renamed)
    for named in (chosen, renamed):
        adopted = checkpoint.adopt([tmp_path / "0001"], tmp_path / "resumed", expected_step=2, chosen=named)
        assert checkpoint.step_of(adopted) == 1


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda c: (c / "adapter.safetensors").unlink(), "adapter.safetensors is missing"),
        (shutil.rmtree, "manifest.json is missing"),
        (lambda c: None, "it was saved for abc123, not for def456"),
    ],
)
def test_a_checkpoint_named_by_hand_is_whole_and_the_trials_own(tmp_path, harm, says):
    chosen = checkpoint.save(staged(tmp_path / ".staging" / "checkpoint-1"), tmp_path / "0001", step=1, keep=2, run="abc123")
    save(tmp_path / "0002", 1)
    harm(chosen)
    with pytest.raises(UserError, match="RESUME_CHECKPOINT=") as refusal:
        checkpoint.adopt([tmp_path / "0002"], tmp_path / "resumed", expected_step=1, chosen=chosen, run="def456")
    assert says in str(refusal.value)


def test_adopting_thins_out_what_came_before(tmp_path):
    for attempt in (1, 2):
        for step in (1, 2, 3):
            save(tmp_path / f"{attempt:04}", step * attempt, keep=3)
    cut_short = staged(tmp_path / "0002" / ".staging" / "checkpoint-8")
    (last := tmp_path / "0002" / "step-00000006" / "adapter.safetensors").write_bytes(b"")
    folders = sorted(tmp_path.glob("00*"))
    checkpoint.adopt(folders, tmp_path / "resumed", expected_step=6, keep=2)
    assert sorted(path.name for folder in folders for path in folder.glob("step-*")) == ["step-00000003", "step-00000004"]
    assert last.parent.with_name(f"damaged-{last.parent.name}").is_dir()
    assert not cut_short.exists()


def test_saving_a_step_again_leaves_the_first(tmp_path):
    first = save(tmp_path, 3)
    again = checkpoint.save(staged(tmp_path / ".staging" / "checkpoint-3", b"later"), tmp_path, step=3, keep=2)
    assert again == first
    assert (first / "adapter.safetensors").read_bytes() == b"weights"
    assert damage(first) is None
    assert not list((tmp_path / ".staging").iterdir())


def test_a_full_disk_leaves_the_one_before_and_no_staging(tmp_path, monkeypatch):
    before = save(tmp_path, 1)

    def full(path):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(checkpoint.atomic_files, "sync", full)
    with pytest.raises(checkpoint_disk_space.DiskFull, match="the quota is used up") as refusal:
        save(tmp_path, 2)
    assert refusal.value.errno == errno.EDQUOT
    assert isinstance(refusal.value, UserError)
    assert damage(before) is None
    assert not list((tmp_path / ".staging").iterdir())
    assert not list(tmp_path.glob("step-*2"))


def test_room_is_asked_for_in_gigabytes(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10e9, 9e9, 1e9))
    checkpoint_disk_space.require(tmp_path, int(9e8), "a checkpoint")
    with pytest.raises(
        checkpoint_disk_space.DiskFull, match=r"for a checkpoint 1.25 GB are needed and 1 GB are free; make room"
    ) as refusal:
        checkpoint_disk_space.require(tmp_path, int(1.25e9), "a checkpoint")
    assert refusal.value.errno == errno.ENOSPC
    assert "\n" not in str(refusal.value)


def test_other_faults_are_not_taken_for_a_full_disk(tmp_path):
    assert checkpoint_disk_space.explain(PermissionError(errno.EACCES, "no"), tmp_path, "a checkpoint") is None
    assert checkpoint_disk_space.explain(RuntimeError("shape"), tmp_path, "a checkpoint") is None
    assert not list(tmp_path.iterdir())


def test_a_save_cut_short_leaves_nothing_that_seems_whole(tmp_path):
    staged(tmp_path / ".staging" / "checkpoint-3")
    assert adopted([tmp_path], tmp_path / "copy") is None


@settings(max_examples=10, deadline=None)
@given(content=st.binary(min_size=1, max_size=64), data=st.data())
def test_any_flipped_bit_is_seen(tmp_path_factory, content, data):
    root = tmp_path_factory.mktemp("bits")
    folder = checkpoint.save(staged(root / ".staging" / "checkpoint-1", content), root, step=1, keep=1)
    assert damage(folder) is None
    bit = data.draw(st.integers(0, len(content) * 8 - 1))
    flipped = bytearray(content)
    flipped[bit // 8] ^= 1 << bit % 8
    (folder / "adapter.safetensors").write_bytes(bytes(flipped))
    assert "not what was saved" in damage(folder)
