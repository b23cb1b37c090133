from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_exp.corpus.book import Book, read_book
from persona_exp.corpus.passages import find_passages
from persona_exp.corpus.reading.chapters import Chapter
from persona_exp.corpus.reading.paragraphs_and_scenes import find_paragraphs
from persona_exp.errors import UserError

GUTENBERG = """The Project Gutenberg eBook of The Bell

Title: The Bell of Saltmere
Author: Nobody

*** START OF THE PROJECT GUTENBERG EBOOK THE BELL ***

Produced by a volunteer and
another

THE BELL

CHAPTER I

It rang. Nobody _heard_ it.

CHAPTER II

It fell.

*** END OF THE PROJECT GUTENBERG EBOOK THE BELL ***

CHAPTER III

This licence is long.
"""


def test_a_gutenberg_book(tmp_path: Path) -> None:
    path = tmp_path / "bell.txt"
    path.write_bytes(GUTENBERG.replace("\n", "\r\n").encode("utf-8-sig"))
    book = read_book(path)
    assert (book.id, book.title) == ("bell", "The Bell of Saltmere")
    assert [book.text[chapter.start : chapter.end] for chapter in book.chapters] == ["It rang. Nobody heard it.", "It fell."]
    assert "licence" not in book.text
    assert "Produced" not in book.text


def test_the_title_is_the_first_line_or_the_file_name(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("The Buoy\n\nIt floated.\n")
    (tmp_path / "two.txt").write_text("CHAPTER I\n\nIt floated.\n\nCHAPTER II\n\nIt sank.\n")
    assert [read_book(tmp_path / name).title for name in ("one.txt", "two.txt")] == ["The Buoy", "two"]


def test_headings_alone_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bare.txt").write_text("I.\n\nII.\n")
    with pytest.raises(UserError, match="no paragraph"):
        read_book(tmp_path / "bare.txt")


@given(st.lists(st.integers(1, 150), min_size=1, max_size=30), st.integers(20, 300))
def test_passages_hold_every_paragraph_once_in_order(lengths: list[int], words: int) -> None:
    text = "\n\n".join("tide " * (length - 1) + "tide." for length in lengths)
    passages = find_passages(Book("b", "B", text, (Chapter("", 0, len(text)),), "0"), words)
    held = [(paragraph.start, paragraph.end) for passage in passages for paragraph in find_paragraphs(text, passage.start, passage.end)]
    assert held == [(paragraph.start, paragraph.end) for paragraph in find_paragraphs(text)]
    assert len({passage.id for passage in passages}) == len(passages)
    assert all(len(passage.text.split()) >= words / 2 for passage in passages[1:])


def test_what_a_book_has_lost_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "bell.txt"
    path.write_text(GUTENBERG)
    cuts = {cut.kind: cut for cut in read_book(path).cuts}
    assert {kind: cut.number for kind, cut in cuts.items()} == {"licence": 2, "credits": 1, "emphasis": 1}
    assert cuts["emphasis"].samples == ("_heard_",)
    assert "Produced by a volunteer and another" in cuts["credits"].samples


def test_a_list_of_contents_is_cut_and_places_stay_right(tmp_path: Path) -> None:
    path = tmp_path / "bell.txt"
    path.write_text(
        "THE BELL\n\nCONTENTS\n\nPart I\n\nEbb . . . 1\n\nFlood . . . 9\n\nPART I.\n\nCHAPTER I\n\nIt rang.\n\nCHAPTER II\n\nIt fell.\n"
    )
    book = read_book(path)
    assert "Flood" not in book.text
    assert book.title == "THE BELL"
    assert [(chapter.part, book.text[chapter.start : chapter.end]) for chapter in book.chapters] == [
        ("PART I.", "It rang."),
        ("PART I.", "It fell."),
    ]
    assert [(cut.kind, cut.number) for cut in book.cuts] == [("contents list", 1)]


WORDS = st.sampled_from(
    ["It rang.", "“No,” he said.", "_Now_", "CHAPTER I", "PART II", "12", "[1]", "exam-", "ple", "\n", "\n\n", " ", "\f", "CONTENTS"]
)


@given(st.lists(WORDS, max_size=60))
def test_places_are_places_whatever_the_text(tmp_path_factory: pytest.TempPathFactory, words: list[str]) -> None:
    path = tmp_path_factory.mktemp("book") / "b.txt"
    path.write_text("".join(words))
    try:
        book = read_book(path)
    except UserError:
        return
    ends = 0
    for chapter in book.chapters:
        assert ends <= chapter.start < chapter.end <= len(book.text)
        ends = chapter.end
        assert book.text[chapter.start : chapter.end].strip() == book.text[chapter.start : chapter.end]
    assert all(passage.text == book.text[passage.start : passage.end] for passage in find_passages(book))
