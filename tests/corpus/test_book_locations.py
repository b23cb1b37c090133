from pathlib import Path

import pytest

from persona_exp.corpus.book_locations import file_beside_books, locate_books
from persona_exp.errors import UserError


def test_only_the_named_books_are_located(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("x")
    assert locate_books(str(tmp_path), ["b.txt"], {}, tmp_path) == {"b.txt": tmp_path / "b.txt"}


def test_the_bundled_collection(tmp_path: Path) -> None:
    assert locate_books("bundled:saltmere", ["01_clock.txt"], {}, tmp_path)["01_clock.txt"].is_file()
    assert file_beside_books("bundled:saltmere", "gold.csv") is not None
    assert file_beside_books("bundled:saltmere", None) is None


@pytest.mark.parametrize(
    ("directory", "books", "message"),
    [
        ("/nonexistent", ["a.txt"], "corpus.dir=/nonexistent does not exist"),
        ("bundled:saltmere", ["nothing.txt"], "holds no file nothing.txt"),
        ("bundled:nothing", ["a.txt"], "corpus.dir=bundled:nothing does not exist"),
        (None, ["a.txt"], "corpus.dir=PATH"),
        (None, [], "names no book"),
        ("bundled:saltmere", ["01_clock.txt", "01_clock.txt"], "twice"),
    ],
)
def test_what_is_missing_is_named(directory: str | None, books: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        locate_books(directory, books, {}, tmp_path)


def test_a_missing_file_of_speakers_is_named() -> None:
    with pytest.raises(UserError, match=r"holds no file who\.csv"):
        file_beside_books("bundled:saltmere", "who.csv")


def test_a_folder_without_named_books_gives_all_of_them_and_a_file_itself(tmp_path: Path) -> None:
    for name in ("b.txt", "a.epub", ".hidden.txt", "cast.csv"):
        (tmp_path / name).write_text("x")
    assert list(locate_books(str(tmp_path), [], {}, tmp_path)) == ["a.epub", "b.txt"]
    assert locate_books(str(tmp_path / "b.txt"), [], {}, tmp_path) == {"b.txt": tmp_path / "b.txt"}
    assert file_beside_books(str(tmp_path / "b.txt"), "cast.csv", "cast") == tmp_path / "cast.csv"
    with pytest.raises(UserError, match="is one file"):
        locate_books(str(tmp_path / "b.txt"), ["a.epub"], {}, tmp_path)


def test_a_folder_without_books_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no book"):
        locate_books(str(tmp_path), [], {}, tmp_path)
