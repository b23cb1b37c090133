import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_exp.corpus.passages import Passage
from persona_exp.dataset.split import by_book, by_chapter
from persona_exp.errors import UserError


def passages(chapters: int, book: str = "b", each: int = 2) -> list[Passage]:
    return [Passage(book, chapter, index, 0, 1, "x") for chapter in range(1, chapters + 1) for index in range(1, each + 1)]


def test_books_go_where_the_lists_say() -> None:
    files = {"a.txt": "a", "b.txt": "b", "c.txt": "c"}
    splits = by_book([one for book in "abc" for one in passages(1, book)], files, ["b.txt"], ["c.txt"])
    assert {name.split("/")[0]: split for name, split in splits.items()} == {"a": "train", "b": "validation", "c": "test"}


@pytest.mark.parametrize(
    ("validation", "test", "message"),
    [
        (["z.txt"], ["b.txt"], r"corpus\.validation names z\.txt, which is not in corpus\.books"),
        ([], ["z.txt"], r"corpus\.test names z\.txt"),
        (["b.txt"], ["b.txt"], "in corpus.validation and in corpus.test"),
        ([], [], "names no book to test on"),
        (["a.txt"], ["b.txt"], "none is left to train on"),
    ],
)
def test_wrong_lists_are_refused(validation: list[str], test: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        by_book([], {"a.txt": "a", "b.txt": "b"}, validation, test)


@given(st.integers(3, 60), st.floats(0, 0.3), st.floats(0, 0.3))
def test_the_last_chapters_test_and_whole_chapters_stay_together(chapters: int, validation: float, test: float) -> None:
    splits = by_chapter(passages(chapters), validation, test)
    order = [splits[f"b/{chapter}/1"] for chapter in range(1, chapters + 1)]
    assert order == sorted(order, key=["train", "validation", "test"].index)
    assert all(splits[f"b/{chapter}/1"] == splits[f"b/{chapter}/2"] for chapter in range(1, chapters + 1))
    assert order.count("test") == (max(1, round(test * chapters)) if test else 0)
    assert order.count("validation") == (max(1, round(validation * chapters)) if validation else 0)


def test_a_book_of_too_few_chapters_is_refused() -> None:
    with pytest.raises(UserError, match="b has 2 chapters, too few"):
        by_chapter(passages(2), 0.1, 0.1)
