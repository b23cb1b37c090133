"""Files that are whole or absent."""

import pytest

from persona_exp import files


def test_the_first_creation_wins(tmp_path):
    assert files.create_text(tmp_path / "a" / "x", "one")
    assert not files.create_text(tmp_path / "a" / "x", "two")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["x"]
    assert (tmp_path / "a" / "x").read_text() == "one"


def test_a_failed_write_leaves_the_old_file(tmp_path):
    files.write_json(tmp_path / "x.json", {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "x.json", {"a": float("nan")})
    assert (tmp_path / "x.json").read_text() == '{\n  "a": 1\n}\n'


def test_the_first_publication_wins(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "result").write_text(name)
    assert files.publish(tmp_path / "one", tmp_path / "final")
    assert not files.publish(tmp_path / "two", tmp_path / "final")
    assert (tmp_path / "final" / "result").read_text() == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["final"]


def test_a_publication_that_cannot_be_is_an_error(tmp_path):
    (tmp_path / "staged").mkdir()
    (tmp_path / "final").write_text("a file is in the way")
    with pytest.raises(OSError, match="final"):
        files.publish(tmp_path / "staged", tmp_path / "final")


def test_tree_digests_name_every_file(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x").write_text("1")
    (tmp_path / "y").write_text("1")
    found = files.tree_digests(tmp_path)
    assert list(found) == ["a/b/x", "y"]
    assert len(set(found.values())) == 1
