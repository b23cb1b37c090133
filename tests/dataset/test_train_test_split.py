import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_exp.corpus.passages import Passage
from persona_exp.dataset.train_test_split import assign_splits, passages_sharing_text, split_by_book, split_by_chapter
from persona_exp.dataset.training_example import SPLITS
from persona_exp.errors import UserError


def passages(chapters: int, book: str = "b", each: int = 2) -> list[Passage]:
    return [Passage(book, chapter, index, 0, 1, "x") for chapter in range(1, chapters + 1) for index in range(1, each + 1)]


def test_books_go_where_the_lists_say() -> None:
    files = {"a.txt": "a", "b.txt": "b", "c.txt": "c"}
    splits = split_by_book([one for book in "abc" for one in passages(1, book)], files, ["b.txt"], ["c.txt"])
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
        split_by_book([], {"a.txt": "a", "b.txt": "b"}, validation, test)


@given(st.integers(3, 60), st.floats(0, 0.3), st.floats(0, 0.3))
def test_the_last_chapters_test_and_whole_chapters_stay_together(chapters: int, validation: float, test: float) -> None:
    splits = split_by_chapter(passages(chapters), validation, test)
    order = [splits[f"b/{chapter}/1"] for chapter in range(1, chapters + 1)]
    assert order == sorted(order, key=["train", "validation", "test"].index)
    assert all(splits[f"b/{chapter}/1"] == splits[f"b/{chapter}/2"] for chapter in range(1, chapters + 1))
    assert order.count("test") == (max(1, round(test * chapters)) if test else 0)
    assert order.count("validation") == (max(1, round(validation * chapters)) if validation else 0)


def test_a_book_of_too_few_chapters_is_refused() -> None:
    with pytest.raises(UserError, match="b has 2 chapters, too few"):
        split_by_chapter(passages(2), 0.1, 0.1)


def test_passages_that_share_text_are_together_whatever_their_chapters() -> None:
    words = [f"word{number}" for number in range(200)]
    texts = {
        ("a", 1, 1): words[:150],
        ("b", 3, 1): ["The", "Same", "Again", *words[:60]],
        ("b", 3, 2): words[60:190],
        ("c", 1, 1): [f"other{number}" for number in range(100)],
        ("c", 2, 1): [*words[:10], "and", "more"],
        ("d", 1, 1): [f"other{number}" for number in range(3, 100)],
    }
    found = passages_sharing_text([Passage(*place, 0, 1, " ".join(text)) for place, text in texts.items()])
    assert found == [["a/1/1", "b/3/1", "b/3/2", "c/2/1"], ["c/1/1", "d/1/1"]]


@given(st.lists(st.sampled_from(SPLITS), min_size=6, max_size=6), st.lists(st.integers(0, 5), min_size=2, max_size=4, unique=True))
def test_a_group_is_where_its_passage_held_out_furthest_is(splits: list[str], members: list[int]) -> None:
    every = passages(3)
    split_of = {passage.id: split for passage, split in zip(every, splits, strict=True)}
    group = [every[place].id for place in members]
    assigned = assign_splits(every, split_of, [group])
    furthest = max(members, key=lambda place: SPLITS.index(splits[place]))
    assert {assigned[name] for name in group} == {splits[furthest]}
    assert {name: split for name, split in assigned.items() if name not in group} == {
        name: split for name, split in split_of.items() if name not in group
    }
    assert list(assigned) == [passage.id for passage in every]
