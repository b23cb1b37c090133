"""Which passages and replies a teacher is asked about."""

from dataclasses import replace
from pathlib import Path

import pytest

from persona_exp.dataset.annotated_book import AnnotatedBook, annotate_book
from persona_exp.dataset.dataset_recipe import Persona, Recipe
from persona_exp.dataset.dialogue_examples import dialogue_examples
from persona_exp.dataset.teacher_requests import AWAY, ExampleRequest, requests_about_book, requests_about_inventions

WREXHAM = Persona("Tobias Wrexham", ("Wrexham",), pronoun="he", period="England in the 1880s", system_prompt="You are Wrexham.")
RECIPE = Recipe((WREXHAM,), passage_words=20)
HERE = "Wrexham walked along the quay in the rain and looked at each of the boats that lay there for the night."
AWAY_FROM = "The widow sat in the upper room with the window open and counted the lights on the far side of the bay."
SAID = (
    "“The tide was at the half when she left the quay, and it was at the half when she came home,” said Wrexham, “so she was out for "
    "six hours.”"
)


def read_book(folder: Path, *paragraphs: str) -> AnnotatedBook:
    path = folder / "story.txt"
    path.write_text("CHAPTER I\n\n" + "\n\n".join(paragraphs) + "\n\nCHAPTER II\n\n" + AWAY_FROM + "\n", encoding="utf-8")
    return annotate_book(path, RECIPE, [WREXHAM.character])


def requests(folder: Path, kind: str, *paragraphs: str, persona: Persona = WREXHAM) -> list[ExampleRequest]:
    recipe = replace(RECIPE, kinds=(kind,), personas=(persona,))
    book = read_book(folder, *paragraphs)
    return list(requests_about_book(book, persona, recipe, dialogue_examples(book, persona, recipe)[0]))


@pytest.mark.parametrize("kind", ["narrative", "qa"])
def test_only_passages_in_which_the_persona_is(tmp_path: Path, kind: str) -> None:
    assert [one.passage for one in requests(tmp_path, kind, HERE, AWAY_FROM)] == ["story/1/1"]


def test_what_it_cannot_know_is_far_from_where_it_is(tmp_path: Path) -> None:
    found = [one.passage for one in requests(tmp_path, "contrast", HERE, *[AWAY_FROM] * (AWAY + 2))]
    assert found == [f"story/1/{2 + AWAY}", f"story/1/{3 + AWAY}", "story/2/1"]


def test_speech_is_heard_and_so_not_unknown(tmp_path: Path) -> None:
    heard = "“My sister sat in the upper room with the window open and counted the lights on the far side of the bay.”"
    assert [one.passage for one in requests(tmp_path, "contrast", heard)] == ["story/2/1"]


def test_speech_in_a_chapter_without_the_persona_is_unknown_to_it(tmp_path: Path) -> None:
    talk = "“You will find the lamp in the cellar, and the key to it hangs beside the door,” said Crane, and he drew on his gloves."
    assert [one.passage for one in requests(tmp_path, "contrast", talk, AWAY_FROM)] == ["story/1/1", "story/1/2", "story/2/1"]
    assert [one.passage for one in requests(tmp_path, "contrast", talk, AWAY_FROM, HERE)] == ["story/2/1"]


def test_replies_are_asked_about_with_what_they_answer(tmp_path: Path) -> None:
    (one,) = requests(tmp_path, "transformed", "“How long was she out?” asked Crane.", SAID)
    assert one.request.user == "How long was she out?"
    assert one.request.reply.startswith("The tide was at the half")
    assert one.passage.startswith("story/1/")


def test_a_narrator_tells_without_a_teacher_and_hears_all_that_it_tells(tmp_path: Path) -> None:
    pell = Persona("Edwin Pell", narrator=True, pronoun="he")
    narration = ["I saw it, and I went with my lantern to where I had been in the morning, for I had left my hat there." for _ in range(8)]
    assert requests(tmp_path, "narrative", *narration, persona=pell) == []
    assert [one.passage for one in requests(tmp_path, "contrast", *narration, persona=pell)] == []


def test_keys_are_unique_and_inventions_come_after_the_period(tmp_path: Path) -> None:
    found = [*requests(tmp_path, "qa", HERE, HERE), *requests_about_inventions(WREXHAM)]
    assert len({one.key for one in found}) == len(found)
    inventions = [one for one in found if one.book == "inventions"]
    assert {one.split for one in inventions} == {"train", "validation", "test"}
    assert all(one.request.about and not one.request.passage for one in inventions)
