import json
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_exp.corpus.book import read_book
from persona_exp.corpus.passages import Passage, find_passages
from persona_exp.dataset.conversation_formats import write_conversations
from persona_exp.dataset.decontamination import (
    CONVERSATION,
    LINEAGE,
    NEAR,
    PASSAGE,
    REPLY,
    RUNS,
    TEMPLATE,
    audit,
    audit_folder,
)
from persona_exp.dataset.train_test_split import assign_splits, passages_sharing_text
from persona_exp.dataset.training_example import SPLITS, Example
from persona_exp.errors import UserError
from tests.corpus.saltmere import stories


def example(number: int, split: str, reply: str = "", **changes: Any) -> Example:
    """An example that resembles no other, but for what is given."""
    chance = random.Random(f"{split} {number}")
    unlike = [" ".join(f"{chance.choice('bdgklmnprst')}{chance.randrange(10**6)}" for _ in range(20)) for _ in range(2)]
    turns = [{"role": "user", "content": changes.pop("user", unlike[0])}, {"role": "assistant", "content": reply or unlike[1]}]
    settled = {"kind": "dialogue", "passage": f"b/{SPLITS.index(split)}/{number}", **changes}
    return Example(f"{split}.{number}", settled.pop("kind"), "P", "b", 1, settled.pop("passage"), split, "given", 1.0, turns)


def clean(count: int = 60) -> list[Example]:
    return [example(number, split) for split in ("train", "validation", "test") for number in range(count)]


def found(planted: Example, *held_out: Example, passages: Mapping[str, str] | None = None, **more: Any) -> list[tuple[str, str]]:
    """The reason and the other side for which `planted`, and nothing else, is dropped; empty where it is kept."""
    examples = [*clean(), planted, *held_out]
    kept, report = audit(examples, passages or {}, more.get("split_of"))
    assert kept == [one for one in examples if one is not planted or not report["samples"]]
    assert all(sample["id"] == planted.id for sample in report["samples"])
    assert sum(of["dropped"] for of in report["totals"].values()) == len(report["samples"])
    return [(sample["reason"], sample["other"]) for sample in report["samples"]]


LINE = "I should be obliged to you, sir, if you would put that lantern down and tell me where the boat was lying"


def fifth_changed(text: str, seed: int = 0) -> str:
    words = text.split()
    for place in random.Random(seed).sample(range(len(words)), len(words) // 5):
        words[place] = f"another{place}"
    return " ".join(words)


def test_what_is_clean_stays_whole_and_in_order() -> None:
    examples = clean()
    kept, report = audit(examples, {})
    assert kept == examples
    assert report["dropped"] == {"train": {}, "validation": {}, "test": {}}
    assert report["compared"]["train × validation + test"]["turns compared"] == 120
    assert json.loads(json.dumps(report)) == report


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (LINE.upper() + "!!", REPLY),
        (f"Well. {LINE}. So I told him, and he put it down, and that was all there was between us that night.", RUNS),
        (fifth_changed(LINE), NEAR),
        (fifth_changed(LINE, 1) + " and I shall not ask you again, nor will the harbour master, who stands behind me with his book.", NEAR),
        (" ".join(LINE.split()[3:12]), NEAR),
        ("Quite another thing was said here, and by another man, who had no lantern.", None),
    ],
)
def test_replies(split: str, reply: str, reason: str | None) -> None:
    assert found(example(99, "train", reply), example(98, split, LINE)) == ([(reason, f"{split}.98")] if reason else [])
    if split == "test":
        assert found(example(99, "validation", reply), example(98, split, LINE)) == ([(reason, "test.98")] if reason else [])


def test_very_short_replies_leak_only_with_their_question() -> None:
    assert found(example(99, "train", "Of course."), example(98, "test", "Of course!")) == []
    planted = example(99, "train", "Of course.", user="Shall we go?")
    assert found(planted, example(98, "test", "Of course!", user="Shall we go?")) == [(CONVERSATION, "test.98")]


def test_a_line_that_somebody_answers_in_both() -> None:
    assert found(example(99, "train", user=fifth_changed(LINE)), example(98, "test", user=LINE)) == [(NEAR, "test.98")]
    # Questions of teachers are made alike.
    assert found(example(99, "train", user=fifth_changed(LINE), kind="qa"), example(98, "test", user=LINE, kind="qa")) == []


def test_prompts_and_formulas_are_no_leak() -> None:
    def prompted(number: int, split: str) -> Example:
        one = example(number, split, kind="qa", user=f"{LINE} {number}?")
        return replace(one, messages=[{"role": "system", "content": f"You are P. {LINE}."}, *one.messages])

    assert found(prompted(99, "train"), prompted(98, "test")) == []
    # The same question of a template about many passages.
    asked = [example(number, "train", user=f"{LINE} on day {number}?", kind="qa") for number in range(200, 206)]
    kept, report = audit([*clean(), *asked, example(98, "test", user=f"{LINE} on the third day?", kind="qa")], {})
    assert report["samples"] == []
    assert len(kept) == 187


def test_a_passage_that_is_held_out_too() -> None:
    passage = " ".join(f"word{number}" for number in range(150))
    planted, other = example(99, "train", passage="b/9/1"), example(98, "test", passage="c/1/1")
    for copied in (passage.title(), fifth_changed(passage), "Title and something else. " + fifth_changed(passage)):
        assert found(planted, other, passages={"b/9/1": copied, "c/1/1": passage}) == [(PASSAGE, "c/1/1")]
        # No example was made from the passage held out.
        assert found(planted, passages={"b/9/1": copied, "c/1/1": passage}, split_of={"c/1/1": "test"}) == [(PASSAGE, "c/1/1")]
    assert found(planted, other, passages={"b/9/1": passage, "c/1/1": "word2 word1 word4 word3"}) == []
    assert found(
        example(99, "train", "So it was: " + fifth_changed(passage[-200:])), passages={"c/1/1": passage}, split_of={"c/1/1": "test"}
    )


def test_lineage() -> None:
    placed = {"b/2/1": "test", "b/1/1": "validation"}
    assert found(example(99, "train", passage="b/2/1"), split_of=placed) == [(LINEAGE, "b/2/1")]
    assert found(example(99, "validation", passage="b/2/1"), split_of=placed) == [(LINEAGE, "b/2/1")]
    # What is tested on must not come from where training does either.
    assert found(example(99, "test", passage="b/0/1"), split_of={"b/0/1": "train"}) == [(LINEAGE, "b/0/1")]
    # Without knowing where passages belong, one passage in two splits shows it.
    assert found(example(99, "train", passage="b/2/1")) == [(LINEAGE, "test.1")]


def test_templates_are_disjoint() -> None:
    asked = {"kind": "identity", "user": "Who are you?"}
    assert found(
        example(99, "train", "I am P.", passage="identity/name-1", **asked), example(98, "test", passage="identity/name-1", **asked)
    )
    assert found(
        example(99, "train", "I am P.", passage="identity/name-1", **asked), example(98, "test", passage="identity/name-2", **asked)
    ) == [(TEMPLATE, "test.98")]
    answer = "I am P, of Saltmere, and have been all my life, as my father was."
    questions = ({"kind": "identity", "user": "Who are you?"}, {"kind": "identity", "user": "What is your name?"})
    assert found(example(99, "train", answer, **questions[0]), example(98, "test", answer, **questions[1])) == []


def test_stock_answers_are_no_leak() -> None:
    evasion = "I never heard of such a thing in all my years at sea, and you may ask another."
    assert found(example(99, "train", evasion, kind="contrast"), example(98, "test", evasion, kind="contrast")) == []
    asked = {"kind": "contrast", "user": "What is a telephone?"}
    assert found(example(99, "train", evasion, **asked), example(98, "test", evasion, **asked)) == [(CONVERSATION, "test.98")]


def test_more_than_a_twentieth_stops_the_build() -> None:
    examples = [example(number, "train") for number in range(18)]
    examples += [example(18, "train", LINE), example(19, "test", LINE)]
    message = r"1 of 19 training examples are also .* \(1 for: same reply, for example train\.18 and test\.19\)"
    with pytest.raises(UserError, match=message):
        audit(examples, {})
    kept, report = audit(examples, {}, max_leak=None)
    assert len(kept) == 19
    assert report["totals"]["train"] == {"examples": 19, "dropped": 1, "fraction": round(1 / 19, 6)}
    audit([*examples, example(20, "train")], {})


def test_a_kind_that_leaks_by_itself_stops_the_build() -> None:
    many = [example(number, "train") for number in range(1000)]
    leaking = [example(number, "train", f"{LINE} {number}", kind="hypothetical") for number in range(2000, 2020)]
    held_out = example(98, "test", LINE)
    with pytest.raises(UserError, match="20 of 20 training examples of the kind hypothetical"):
        audit([*many, *leaking, held_out], {})
    assert len(audit([*many, *leaking[:19], held_out], {}).kept) == 1001


def saltmere() -> list[Passage]:
    return [passage for path in stories() for passage in find_passages(read_book(path))]


def test_the_bundled_stories_have_no_near_copies() -> None:
    passages = saltmere()
    books = sorted({passage.book for passage in passages})
    split_of = {passage.id: "test" if passage.book in books[-3:] else "train" for passage in passages}
    made = [example(index, split_of[one.id], one.text, passage=one.id, kind="narrative") for index, one in enumerate(passages)]
    _, report = audit(made, {passage.id: passage.text for passage in passages}, split_of)
    assert set(report["dropped"]["train"]) <= {RUNS}


@pytest.mark.long
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 125), st.integers(0, 1000))
def test_a_training_passage_with_a_fifth_changed_in_test(index: int, seed: int) -> None:
    passages = saltmere()
    own = passages[index]
    copied = replace(own, book="zz", text=fifth_changed(own.text, seed))
    split_of = {**{one.id: "train" for one in passages}, copied.id: "test"}
    texts = {one.id: one.text for one in [*passages, copied]}
    made = [example(number, "train", passage=one.id) for number, one in enumerate(passages)]
    kept, report = audit(made, texts, split_of)
    assert [sample["other"] for sample in report["samples"]] == [copied.id]
    assert len(kept) == len(made) - 1
    assert passages_sharing_text([*passages, copied]) == [[own.id, copied.id]]


def test_a_duplicate_chapter_under_another_title() -> None:
    passages = saltmere()
    book = read_book(stories()[0])
    chapter = book.chapters[0]
    moved = [
        Passage("zz", 1, number, 0, 1, " ".join(words))
        for number, words in enumerate(cut(f"The Same Again\n\n{book.text[chapter.start : chapter.end]}".split(), 130), start=1)
    ]
    groups = passages_sharing_text([*passages, *moved])
    split_of = assign_splits([*passages, *moved], {**{one.id: "train" for one in passages}, **{one.id: "test" for one in moved}}, groups)
    shared = [one.id for one in passages if (one.book, one.chapter) == (book.id, 1)]
    assert shared
    assert all(split_of[name] == "test" for name in shared)
    assert sum(split == "test" for split in split_of.values()) == len(shared) + len(moved)


def cut(words: list[str], size: int) -> list[list[str]]:
    return [words[place : place + size] for place in range(0, len(words), size)]


@pytest.mark.parametrize("format", ["messages", "prompt-completion", "sharegpt", "alpaca", "mistral"])
def test_a_folder_in_any_format(tmp_path: Path, format: str) -> None:
    planted = [example(99, "train", fifth_changed(LINE)), example(98, "train", passage="b/2/1"), example(97, "train")]
    examples = [*clean(20), *planted, example(98, "test", LINE)]
    for split, name in (("train", "train.jsonl"), ("validation", "val.jsonl"), ("test", "test.jsonl")):
        write_conversations([one for one in examples if one.split == split], tmp_path / name, format)
    (tmp_path / "manifest.json").write_text("{}")
    dropped = audit_folder(tmp_path).report["dropped"]["train"]
    assert dropped == ({NEAR: 1} if format == "mistral" else {LINEAGE: 1, NEAR: 1})


def test_a_folder_whose_file_holds_what_is_recorded_elsewhere(tmp_path: Path) -> None:
    write_conversations([*(one for one in clean(5) if one.split == "train"), example(98, "test")], tmp_path / "train.jsonl", "messages")
    write_conversations([one for one in clean(5) if one.split == "test"], tmp_path / "test.jsonl", "messages")
    assert [sample["id"] for sample in audit_folder(tmp_path).report["samples"]] == ["test.98"]


def test_a_folder_without_two_splits_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match="no two splits"):
            audit_folder(folder)
