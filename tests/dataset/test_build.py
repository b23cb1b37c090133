import json
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from persona_exp.atomic_files import tree_digests
from persona_exp.dataset.build import build_dataset
from persona_exp.dataset.dataset_files import read_split
from persona_exp.dataset.dataset_recipe import Recipe
from persona_exp.dataset.decontamination import audit_folder
from persona_exp.dataset.training_example import KINDS
from persona_exp.errors import UserError
from tests.conftest import ROOT
from tests.dataset.saltmere import PELL, RECIPE, WREXHAM, build_saltmere

BY_CHAPTER = replace(RECIPE, split="chapter", validation=(), test=())


def novel(folder: Path, name: str, *numbers: str) -> Path:
    """A book of a chapter a number, in which Wrexham answers one question with words that occur nowhere else."""
    chapters = []
    for index, number in enumerate(numbers, start=1):
        chance = random.Random(number)
        # No two chapters may have a sentence in common, or they would be one text twice, which a split keeps together.
        own = ["".join(chance.choice(("ba", "do", "ki", "lu", "me", "po", "ra", "si")) for _ in range(3)) for _ in range(8)]
        asked, answer = f"Is it the {own[0]}, the {own[1]} or the {own[2]}?", f"The {number} is the {' '.join(own[3:])},"
        chapters.append(f"CHAPTER {index}\n\n“{asked}” I asked.\n\n“{answer}” said Wrexham.\n\n")
    (folder / name).write_text("".join(chapters), encoding="utf-8")
    return folder / name


def make(folder: Path, books: dict[str, Path], **changes: Any) -> dict[str, Any]:
    return build_dataset(books, folder / "data" / "d", replace(BY_CHAPTER, **changes))


def test_splits_are_whole_books_and_counts_are_those_of_the_files(tmp_path: Path) -> None:
    manifest = build_saltmere(tmp_path / "d", replace(RECIPE, personas=(PELL,)))
    for split, books in (("validation", {"09_bell", "10_herring"}), ("test", {"11_ferry", "12_sextant"})):
        assert {example.book for example in read_split(tmp_path / "d", split)} == books
    train = read_split(tmp_path / "d", "train")
    assert len({example.book for example in train}) == 8
    for kind in ("dialogue", "narrative"):
        counted = manifest["counts"]["train"][kind]["Edwin Pell"]
        assert sum(counted.values()) == sum(example.kind == kind for example in train) > 0
    assert all(example.messages[0]["content"] == "Answer in character." for example in train)


@pytest.mark.long
def test_the_same_bytes_again_with_any_number_of_workers(tmp_path: Path) -> None:
    every = replace(RECIPE, kinds=KINDS)
    first, second = build_saltmere(tmp_path / "a" / "d", every), build_saltmere(tmp_path / "b" / "d", every, workers=2)
    assert tree_digests(tmp_path / "a") == tree_digests(tmp_path / "b")
    assert first == second


def test_a_changed_input_rebuilds_only_what_it_touches(tmp_path: Path) -> None:
    books = {name: novel(tmp_path, name, *(f"{name[0]}{number}" for number in range(3))) for name in ("m.txt", "n.txt")}
    make(tmp_path, books)
    parts = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "data" / "parts").iterdir()}
    assert len(parts) == 2
    novel(tmp_path, "n.txt", "fourth", "fifth", "sixth")
    build_dataset(books, tmp_path / "data" / "e", BY_CHAPTER)
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "data" / "parts").iterdir()}
    assert len(after) == 3
    assert {name: after[name] for name in parts} == parts


@pytest.mark.long
def test_the_order_of_lists_does_not_show_in_the_bytes(tmp_path: Path) -> None:
    books = {name: novel(tmp_path, name, *(f"{name[0]}{number}" for number in range(3))) for name in ("m.txt", "n.txt")}
    first = build_dataset(books, tmp_path / "a" / "d", replace(BY_CHAPTER, kinds=("dialogue", "identity")))
    second = build_dataset(dict(reversed(books.items())), tmp_path / "b" / "d", replace(BY_CHAPTER, kinds=("identity", "dialogue")))
    assert first == second
    assert tree_digests(tmp_path / "a") == tree_digests(tmp_path / "b")


def test_a_derivative_of_a_held_out_passage_is_found_in_train(tmp_path: Path) -> None:
    build_saltmere(tmp_path / "d", replace(RECIPE, kinds=KINDS))
    shown = {example.passage for split in ("validation", "test") for example in read_split(tmp_path / "d", split)}
    passages = [json.loads(line) for line in (tmp_path / "d" / "passages.jsonl").read_text(encoding="utf-8").splitlines()]
    unseen = next(one["id"] for one in passages if one["split"] == "test" and one["id"] not in shown)
    planted = asdict(read_split(tmp_path / "d", "train")[0]) | {"id": "planted", "passage": unseen}
    with (tmp_path / "d" / "train.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(planted) + "\n")
    assert audit_folder(tmp_path / "d").report["dropped"]["train"] == {"passage of another split": 1}


@pytest.mark.parametrize("damage", [lambda whole: whole[:50], lambda whole: whole.replace(b"Wrexham", b"Wrecham", 1)])
def test_a_damaged_part_is_made_again(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    books = {"n.txt": novel(tmp_path, "n.txt", "first", "second", "third")}
    make(tmp_path, books)
    (part,) = (tmp_path / "data" / "parts").iterdir()
    whole = part.read_bytes()
    part.write_bytes(damage(whole))
    build_dataset(books, tmp_path / "data" / "e", BY_CHAPTER)
    assert part.read_bytes() == whole
    assert tree_digests(tmp_path / "data" / "d") == tree_digests(tmp_path / "data" / "e")


def test_the_rules_decide_where_no_speakers_are_given(tmp_path: Path) -> None:
    by_hand, by_rules = build_saltmere(tmp_path / "a"), build_saltmere(tmp_path / "b", by_hand=False)
    assert by_hand["data_id"] != by_rules["data_id"]
    given = {example.id for example in read_split(tmp_path / "a", "train")}
    sure = [example for example in read_split(tmp_path / "b", "train") if example.confidence >= 0.9]
    assert len(sure) > 30
    assert sum(example.id in given for example in sure) > 0.9 * len(sure)


def test_split_by_chapter(tmp_path: Path) -> None:
    path = novel(tmp_path, "n.txt", "first", "second", "third", "fourth")
    replies = [f"{answer}." for answer in re.findall("“(The .*),”", path.read_text())]
    manifest = make(tmp_path, {"n.txt": path})
    assert [example.reply for example in read_split(tmp_path / "data" / "d", "test")] == [replies[3]]
    assert manifest["counts"]["train"]["dialogue"]["Tobias Wrexham"] == {"n": 2}


def test_several_personas_each_with_its_own_prompt_and_context(tmp_path: Path) -> None:
    wrexham = replace(WREXHAM, system_prompt="You are Wrexham.", contexts={"01_clock": "It is spring.", "02_ballast/1": "You are ill."})
    pell = replace(PELL, system_prompt="You are Pell.")
    build_saltmere(tmp_path / "d", replace(RECIPE, personas=(wrexham, pell), contextual=True))
    prompts = {(one.persona, one.book, one.chapter): one.messages[0]["content"] for one in read_split(tmp_path / "d", "train")}
    assert prompts["Tobias Wrexham", "01_clock", 1] == "You are Wrexham. It is spring."
    assert prompts["Tobias Wrexham", "02_ballast", 1] == "You are Wrexham. You are ill."
    assert prompts["Tobias Wrexham", "03_almanack", 1] == "You are Wrexham."
    assert prompts["Edwin Pell", "01_clock", 1] == "You are Pell."


def test_a_given_cast_adds_to_what_the_persona_is_called(tmp_path: Path) -> None:
    path = novel(tmp_path, "n.txt", "first", "second", "third")
    path.write_text(path.read_text().replace("Wrexham", "the Deacon"))
    (tmp_path / "cast.csv").write_text("name,aliases,gender\nTobias Wrexham,the Deacon,M\nOther,,F\n")
    manifest = build_dataset({"n.txt": path}, tmp_path / "data" / "d", BY_CHAPTER, cast=tmp_path / "cast.csv")
    assert manifest["counts"]["train"]["dialogue"]["Tobias Wrexham"] == {"n": 1}


def test_a_holdout_book_is_never_shown_to_a_teacher(tmp_path: Path) -> None:
    recipe = replace(RECIPE, kinds=KINDS, holdout=("11_ferry.txt",))
    build_saltmere(tmp_path / "d", recipe)
    held = [example for example in read_split(tmp_path / "d", "test") if example.book == "11_ferry"]
    assert {example.kind for example in held} == {"dialogue"}
    assert {example.kind for example in read_split(tmp_path / "d", "test") if example.book == "12_sextant"} > {"dialogue"}


@pytest.mark.parametrize(
    ("numbers", "changes", "message"),
    [
        (("first", "second", "third"), {"personas": (replace(WREXHAM, name="Nobody", aliases=()),)}, "No quotation in the books is surely"),
        (("first", "second"), {}, "too few"),
        (("first", "second", "third"), {"test_fraction": 0.0}, "No test item is left"),
        (("first", "second", "third"), {"holdout": ("m.txt",)}, "corpus.holdout names m.txt"),
    ],
)
def test_what_cannot_be_built_leaves_no_dataset(tmp_path: Path, numbers: tuple[str, ...], changes: dict[str, Any], message: str) -> None:
    books = {"n.txt": novel(tmp_path, "n.txt", *numbers)}
    with pytest.raises(UserError, match=message):
        make(tmp_path, books, **changes)
    assert not [path for path in (tmp_path / "data").glob("*") if path.name != "parts"]


def test_books_whose_names_differ_in_the_ending_only_are_refused(tmp_path: Path) -> None:
    books = {name: novel(tmp_path, name, "first", "second", "third") for name in ("n.txt", "n.text")}
    with pytest.raises(UserError, match="rename one"):
        make(tmp_path, books)


def test_a_finished_build_stands_and_a_changed_file_is_noticed(tmp_path: Path) -> None:
    books = {"n.txt": novel(tmp_path, "n.txt", "first", "second", "third")}
    first = make(tmp_path, books)
    novel(tmp_path, "n.txt", "fourth", "fifth", "sixth")
    assert make(tmp_path, books) == first
    with (tmp_path / "data" / "d" / "train.jsonl").open("a") as file:
        file.write("\n")
    with pytest.raises(UserError, match="has changed since it was built"):
        read_split(tmp_path / "data" / "d", "train")


@pytest.mark.long
def test_two_processes_that_build_at_once_end_with_one_good_copy(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=build_saltmere, args=(tmp_path / "both" / "d",)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert {path.name for path in (tmp_path / "both").iterdir()} == {"d", "parts"}
    build_saltmere(tmp_path / "alone" / "d")
    assert tree_digests(tmp_path / "both") == tree_digests(tmp_path / "alone")


@pytest.mark.long
def test_killed_at_random_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    build_saltmere(tmp_path / "alone" / "d", replace(RECIPE, kinds=KINDS))
    script = (
        "import sys\nfrom dataclasses import replace\nfrom pathlib import Path\nfrom persona_exp.dataset.training_example import KINDS\n"
        "from tests.dataset.saltmere import RECIPE, build_saltmere\n"
        "if __name__ == '__main__':\n    build_saltmere(Path(sys.argv[1]), replace(RECIPE, kinds=KINDS), workers=2)\n"
    )
    (tmp_path / "script.py").write_text(script)
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "killed" / "d")]
    pauses = random.Random(0)
    for attempt in range(4):
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL)
        if attempt < 3:
            time.sleep(1 + 3 * pauses.random())
            process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == 0
    assert tree_digests(tmp_path / "killed") == tree_digests(tmp_path / "alone")


def test_a_recipe_without_books_to_train_on_is_refused(tmp_path: Path) -> None:
    books = {"n.txt": novel(tmp_path, "n.txt", "first", "second", "third")}
    with pytest.raises(UserError, match="none is left to train on"):
        build_dataset(books, tmp_path / "data" / "d", Recipe((WREXHAM,), test=("n.txt",)))
