"""A dataset built with a language model behind a real HTTP server on loopback."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from persona_exp.atomic_files import tree_digests
from persona_exp.corpus.book_locations import locate_books
from persona_exp.dataset.build import build_dataset
from persona_exp.dataset.dataset_files import read_split
from persona_exp.dataset.dataset_recipe import Recipe
from persona_exp.dataset.prose_normalisation import normalise_prose
from persona_exp.dataset.training_example import KINDS
from persona_exp.teacher.concurrent_calls import TeacherCalls
from persona_exp.teacher.openai_teacher import Backoff, OpenAITeacher
from persona_exp.teacher.token_and_money_budget import Budget
from tests.dataset.saltmere import RECIPE
from tests.loopback import Server

BOOKS = ("01_clock.txt", "02_ballast.txt", "11_ferry.txt", "12_sextant.txt")
SMALL = replace(RECIPE, validation=(), test=("11_ferry.txt", "12_sextant.txt"), holdout=("12_sextant.txt",), kinds=KINDS)
SYLLABLES = ("ba", "do", "ki", "lu", "me", "po", "ra", "si", "ta", "vo", "ze", "wi", "nu", "fa", "go", "he")


def behave(number: int, body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    """Name the first of the cast for every quotation, and answer every other prompt with one exchange."""
    text = "\n".join(message["content"] for message in body["messages"])
    quotations = re.search(r"every number from 1 to (\d+)", text)
    if quotations:
        return Server.answer(json.dumps({"speakers": {str(n): "Tobias Wrexham" for n in range(1, int(quotations[1]) + 1)}}))
    # Another answer to each prompt, as a model would give, or the audit finds one reply in two splits.
    digits = [int(digit, 16) for digit in hashlib.sha256(text.encode()).hexdigest()]
    own = ["".join(SYLLABLES[digit] for digit in digits[place : place + 3]) for place in range(0, 36, 3)]
    said = {"user": f"Did you find the {own[0]} by the {own[1]}?", "assistant": f"I found it, and I think {' '.join(own[2:])} of it."}
    return Server.answer(json.dumps({"examples": [said]}))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-loopback")
    running = Server()
    running.behave = behave
    yield running
    running.close()


def make(folder: Path, name: str, server: Server, recipe: Recipe) -> dict[str, Any]:
    teacher = OpenAITeacher("test-model", server.url, max_output_tokens=200, backoff=Backoff(0.001))
    calls = TeacherCalls(teacher, folder / "answers", Budget(max_tokens=50_000_000), concurrency=4)
    return build_dataset(locate_books("bundled:saltmere", BOOKS, {}, folder), folder / "data" / name, recipe, calls=calls, workers=1)


def test_its_examples_are_checked_placed_and_never_asked_for_twice(tmp_path: Path, server: Server) -> None:
    manifest = make(tmp_path, "a", server, SMALL)
    written = [one for one in read_split(tmp_path / "data" / "a", "train") if one.rule == "teacher openai"]
    assert {one.kind for one in written} >= {"hypothetical"}
    assert all(one.split == "train" and one.book in ("01_clock", "02_ballast", "inventions") for one in written)
    assert sum(sum(reasons.values()) for reasons in manifest["rejected"].values()) > 0
    asked = len(server.bodies)
    assert asked > 100
    make(tmp_path, "b", server, replace(SMALL, max_reply_words=199))
    assert len(server.bodies) - asked < 10
    make(tmp_path, "c", server, SMALL)
    assert tree_digests(tmp_path / "data" / "c") == tree_digests(tmp_path / "data" / "a")


@pytest.mark.long
def test_a_holdout_book_is_never_sent(tmp_path: Path, server: Server) -> None:
    make(tmp_path, "a", server, replace(SMALL, attribution="teacher"))
    sent = " ".join(" ".join(message["content"].split()) for body in server.bodies for message in body["messages"])
    books = locate_books("bundled:saltmere", BOOKS, {}, tmp_path)
    lines = {name: [line for line in path.read_text(encoding="utf-8").split("\n") if len(line) > 60] for name, path in books.items()}
    assert not [line for line in lines["12_sextant.txt"] if line in sent or normalise_prose(line) in sent]
    assert sum(line in sent for line in lines["01_clock.txt"]) > 20


def test_it_can_say_who_speaks(tmp_path: Path, server: Server) -> None:
    make(tmp_path, "a", server, replace(SMALL, attribution="teacher", kinds=("dialogue",)))
    train = read_split(tmp_path / "data" / "a", "train")
    assert {one.rule for one in train} == {"teacher"}
    assert len(train) > 60
    held_out = [one for one in read_split(tmp_path / "data" / "a", "test") if one.book == "12_sextant"]
    assert "teacher" not in {one.rule for one in held_out}
