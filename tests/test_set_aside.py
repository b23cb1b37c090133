"""What is damaged is kept under a name of its own, whoever else keeps something at the same time."""

from pathlib import Path

import pytest

from persona_exp.damaged_records import set_aside


@pytest.mark.parametrize("stays", [False, True])
def test_two_that_set_aside_at_once_take_no_name_twice(tmp_path, monkeypatch, stays):
    path = tmp_path / "seal.json"
    # Both have looked before either has moved anything.
    monkeypatch.setattr(Path, "exists", lambda self: False)
    for content in ("one", "two"):
        path.write_text(content)
        set_aside(path, stays=stays)
        assert path.is_file() == stays
    kept = {one.name: one.read_text() for one in tmp_path.iterdir() if one != path}
    # What stays is the same file under both names.
    assert kept == {"seal.json.damaged": "two" if stays else "one", "seal.json.damaged-2": "two"}


def test_what_another_has_moved_away_meanwhile_is_none(tmp_path):
    assert set_aside(tmp_path / "seal.json") is None
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_place_of_a_file_is_kept_too(tmp_path):
    (tmp_path / "seal.json").mkdir()
    assert set_aside(tmp_path / "seal.json") == tmp_path / "seal.json.damaged"
    (tmp_path / "seal.json").mkdir()
    assert set_aside(tmp_path / "seal.json") == tmp_path / "seal.json.damaged-2"
