"""Files that are whole or absent."""

import pytest

from persona_exp import atomic_files


def test_the_first_creation_wins(tmp_path):
    assert atomic_files.create_text(tmp_path / "a" / "x", "one")
    assert not atomic_files.create_text(tmp_path / "a" / "x", "two")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["x"]
    assert (tmp_path / "a" / "x").read_text() == "one"


def test_a_failed_write_leaves_the_old_file(tmp_path):
    atomic_files.write_json(tmp_path / "x.json", {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        atomic_files.write_json(tmp_path / "x.json", {"a": float("nan")})
    assert (tmp_path / "x.json").read_text() == '{\n  "a": 1\n}\n'


def test_the_first_publication_wins(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "result").write_text(name)
    assert atomic_files.publish(tmp_path / "one", tmp_path / "final")
    assert not atomic_files.publish(tmp_path / "two", tmp_path / "final")
    assert (tmp_path / "final" / "result").read_text() == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["final"]


def test_a_publication_that_cannot_be_is_an_error(tmp_path):
    (tmp_path / "staged").mkdir()
    (tmp_path / "final").write_text("a file is in the way")
    with pytest.raises(OSError, match="final"):
        atomic_files.publish(tmp_path / "staged", tmp_path / "final")


def test_tree_digests_name_every_file(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x").write_text("1")
    (tmp_path / "y").write_text("1")
    found = atomic_files.tree_digests(tmp_path)
    assert list(found) == ["a/b/x", "y"]
    assert len(set(found.values())) == 1


def test_what_is_not_finite_is_null_in_json(tmp_path):
    value = {"loss": float("nan"), "norms": [1.5, float("inf"), (float("-inf"), 2)], "step": 3, "name": "nan"}
    assert atomic_files.json_line(value) == '{"loss": null, "norms": [1.5, null, [null, 2]], "step": 3, "name": "nan"}\n'
    atomic_files.write_json(tmp_path / "x.json", atomic_files.finite(value))
