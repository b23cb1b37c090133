import inspect
import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from persona_exp.dataset.build import build, data_id, read_split
from persona_exp.errors import UserError
from persona_exp.files import tree_digests
from tests.dataset.saltmere import PELL, SETTINGS, WREXHAM, build_saltmere

STORY = "CHAPTER {}\n\n“{} one is it?” I asked.\n\n“The {} of them all,” said Wrexham.\n\n"


def novel(folder: Path, name: str, *numbers: str) -> Path:
    (folder / name).write_text(
        "".join(STORY.format(index, number, number) for index, number in enumerate(numbers, start=1)), encoding="utf-8"
    )
    return folder / name


def make(folder: Path, books: dict[str, Path], **changes: Any) -> dict[str, Any]:
    return build(books, folder / "data", **{**WREXHAM, **SETTINGS, "validation": [], "test": [], "split": "chapter", **changes})


def test_splits_are_whole_books_and_counts_are_those_of_the_files(tmp_path: Path) -> None:
    manifest = build_saltmere(tmp_path / "d", **PELL)
    for split, books in (("validation", {"09_bell", "10_herring"}), ("test", {"11_ferry", "12_sextant"})):
        assert {example.book for example in read_split(tmp_path / "d", split)} == books
    train = read_split(tmp_path / "d", "train")
    assert len({example.book for example in train}) == 8
    for kind in ("dialogue", "narrative"):
        assert sum(manifest["counts"]["train"][kind].values()) == sum(example.kind == kind for example in train) > 0
    assert all(example.messages[0]["content"] == "Answer in character." for example in train)


def test_the_same_bytes_again_and_another_id_for_anything_that_matters(tmp_path: Path) -> None:
    first, second = build_saltmere(tmp_path / "a"), build_saltmere(tmp_path / "b")
    assert tree_digests(tmp_path / "a") == tree_digests(tmp_path / "b")
    assert first == second
    arguments: dict[str, Any] = {"books": {"a.txt": "1"}, "speakers": None, **WREXHAM, **SETTINGS}
    changes: list[dict[str, Any]] = [
        {"books": {"a.txt": "2"}},
        {"speakers": "1"},
        {"persona": "X"},
        {"aliases": []},
        {"narrator": True},
        {"system_prompt": ""},
        {"validation": []},
        {"test": []},
        {"split": "chapter"},
        {"min_reply_words": 5},
        {"max_reply_words": 201},
        {"max_context_words": 121},
    ]
    ids = [data_id(**{**arguments, **change}) for change in [{}, *changes]]
    assert len(set(ids)) == len(ids)
    assert {name for change in changes for name in change} == set(inspect.signature(data_id).parameters) - {
        "validation_fraction",
        "test_fraction",
    }
    by_chapter = {**arguments, "split": "chapter"}
    assert data_id(**{**by_chapter, "test_fraction": 0.3}) != data_id(**by_chapter) != data_id(**{**by_chapter, "validation_fraction": 0.3})


def test_the_rules_decide_where_no_speakers_are_given(tmp_path: Path) -> None:
    by_hand, by_rules = build_saltmere(tmp_path / "a"), build_saltmere(tmp_path / "b", by_hand=False)
    given = {example.id: example.reply for example in read_split(tmp_path / "a", "train")}
    found = read_split(tmp_path / "b", "train")
    assert by_hand["data_id"] != by_rules["data_id"]
    assert 20 < len(found) < len(given)
    assert {example.rule for example in found} <= {"verb-subject", "subject-verb", "introduced"}
    assert {example.id for example in found} <= set(given)


def test_split_by_chapter(tmp_path: Path) -> None:
    manifest = make(tmp_path, {"n.txt": novel(tmp_path, "n.txt", "first", "second", "third", "fourth")})
    assert [example.reply for example in read_split(tmp_path / "data", "test")] == ["The fourth of them all."]
    assert sum(manifest["counts"]["train"]["dialogue"].values()) == 2


@pytest.mark.parametrize(
    ("numbers", "changes", "message"),
    [
        (("first", "second", "third"), {"persona": "Nobody", "aliases": []}, "No quotation in the books is surely Nobody's"),
        (("first", "second"), {}, "too few"),
        (("first", "second", "third"), {"test_fraction": 0.0}, "No test item is left"),
        (("first", "second", "first"), {"validation_fraction": 0.0}, "1 of 2 training examples"),
    ],
)
def test_what_cannot_be_built_leaves_nothing(tmp_path: Path, numbers: tuple[str, ...], changes: dict[str, Any], message: str) -> None:
    books = {"n.txt": novel(tmp_path, "n.txt", *numbers)}
    with pytest.raises(UserError, match=message):
        make(tmp_path, books, **changes)
    assert [path.name for path in tmp_path.iterdir()] == ["n.txt"]


def test_books_whose_names_differ_in_the_ending_only_are_refused(tmp_path: Path) -> None:
    books = {name: novel(tmp_path, name, "first", "second", "third") for name in ("n.txt", "n.text")}
    with pytest.raises(UserError, match="rename one"):
        make(tmp_path, books)


def test_a_finished_build_stands_and_a_changed_file_is_noticed(tmp_path: Path) -> None:
    books = {"n.txt": novel(tmp_path, "n.txt", "first", "second", "third")}
    first = make(tmp_path, books)
    novel(tmp_path, "n.txt", "fourth", "fifth", "sixth")
    assert make(tmp_path, books) == first
    with (tmp_path / "data" / "train.jsonl").open("a") as file:
        file.write("\n")
    with pytest.raises(UserError, match="has changed since it was built"):
        read_split(tmp_path / "data", "train")


def test_two_processes_that_build_at_once_end_with_one_good_copy(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=build_saltmere, args=(tmp_path / "d",)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["d"]
    build_saltmere(tmp_path / "alone")
    assert tree_digests(tmp_path / "d") == tree_digests(tmp_path / "alone")
