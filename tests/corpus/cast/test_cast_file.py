from pathlib import Path

import pytest

from persona_exp.corpus.cast.cast_file import read_cast
from persona_exp.corpus.cast.character import Character
from persona_exp.errors import UserError
from tests.corpus.saltmere import FOLDER


def test_a_cast_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "cast.csv"
    file.write_text("name,aliases,gender,narrator\nEdwin Pell,Pell; Mr. Pell,M,yes\nDorcas Hallam,,F,\nThe Parrot,,X,\n", encoding="utf-8")
    assert read_cast(file) == [
        Character("Edwin Pell", ("Pell", "Mr. Pell"), True, "male"),
        Character("Dorcas Hallam", (), False, "female"),
        Character("The Parrot", (), False, None),
    ]


def test_a_cast_of_several_books_is_merged_or_chosen_from() -> None:
    every = {one.name: one for one in read_cast(FOLDER / "cast.csv")}
    first = {one.name: one for one in read_cast(FOLDER / "cast.csv", "01_clock.txt")}
    assert {"Tobias Wrexham", "Edwin Pell", "Dorcas Hallam", "Lucius Crane"} <= set(first) < set(every)
    assert every["Dorcas Hallam"].gender == "female"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no column name"),
        ("name,gender\nPell,M\n", "no column aliases"),
        ("name,aliases,gender\n", "lists nobody"),
        ("name,aliases,gender\nPell,,M\n ,x,F\n", "Line 3"),
        ("name,aliases,gender\n\xff\xfe", "UTF-8"),
    ],
)
def test_a_bad_cast_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "cast.csv").write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError, match=message):
        read_cast(tmp_path / "cast.csv")


def test_a_missing_cast_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_cast(tmp_path / "none.csv")
