"""A checkpoint is whole or it is not used."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_exp.training import checkpoint


def staged(folder, content=b"weights", name="adapter.safetensors"):
    folder.mkdir(parents=True)
    (folder / name).write_bytes(content)
    (folder / "nested").mkdir()
    (folder / "nested" / "state.json").write_text("{}")
    return folder


def save(root, step, keep=2):
    return checkpoint.save(staged(root / ".staging" / f"checkpoint-{step}"), root, step=step, keep=keep)


def test_the_newest_of_several_folders_is_found(tmp_path):
    save(tmp_path / "0001", 5)
    expected = save(tmp_path / "0002", 10)
    save(tmp_path / "0003", 7)
    assert checkpoint.newest(tmp_path.iterdir()) == expected
    assert checkpoint.step_of(expected) == 10


def test_none_where_nothing_was_saved(tmp_path):
    assert checkpoint.newest([tmp_path, tmp_path / "absent"]) is None


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
        lambda c: (c / checkpoint.MANIFEST).unlink(),
        lambda c: (c / checkpoint.MANIFEST).write_text("{"),
        lambda c: (c / checkpoint.MANIFEST).write_text(json.dumps({"step": 9})),
    ],
)
def test_a_damaged_one_is_passed_over_for_the_one_before(tmp_path, harm, caplog):
    before = save(tmp_path, 1)
    last = save(tmp_path, 2)
    harm(last)
    assert checkpoint.newest([tmp_path]) == before
    assert "damaged" in caplog.text


def test_adopting_copies_and_verifies(tmp_path):
    before = save(tmp_path / "0001", 1)
    last = save(tmp_path / "0001", 2)
    (last / "adapter.safetensors").write_bytes(b"")
    adopted = checkpoint.adopt([tmp_path / "0001"], tmp_path / "0002" / "resumed")
    assert adopted == tmp_path / "0002" / "resumed" / before.name
    assert checkpoint.damage(adopted) is None
    assert checkpoint.adopt([tmp_path / "0003"], tmp_path / "0002" / "resumed") is None


def test_a_save_cut_short_leaves_nothing_that_looks_whole(tmp_path):
    staged(tmp_path / ".staging" / "checkpoint-3")
    assert checkpoint.newest([tmp_path]) is None


@settings(max_examples=30, deadline=None)
@given(content=st.binary(min_size=1, max_size=64), data=st.data())
def test_any_flipped_bit_is_seen(tmp_path_factory, content, data):
    root = tmp_path_factory.mktemp("bits")
    folder = checkpoint.save(staged(root / ".staging" / "checkpoint-1", content), root, step=1, keep=1)
    assert checkpoint.damage(folder) is None
    bit = data.draw(st.integers(0, len(content) * 8 - 1))
    flipped = bytearray(content)
    flipped[bit // 8] ^= 1 << bit % 8
    (folder / "adapter.safetensors").write_bytes(bytes(flipped))
    assert "not what was saved" in checkpoint.damage(folder)
