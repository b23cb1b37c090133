"""What is one dataset and what are two."""

from dataclasses import fields, replace
from typing import Any

import pytest

from persona_exp.dataset.data_id import data_id
from persona_exp.dataset.dataset_recipe import Recipe
from tests.dataset.saltmere import PELL, RECIPE, WREXHAM

BOOKS = {"a.txt": "1"}
TEACHER = {"name": "rules"}
INSIDE: dict[str, Any] = {
    "personas": (WREXHAM, PELL),
    "validation": (),
    "test": (),
    "holdout": ("12_sextant.txt",),
    "split": "chapter",
    "passages": "fixed",
    "passage_words": 100,
    "min_reply_words": 5,
    "max_reply_words": 201,
    "max_context_words": 121,
    "kinds": ("dialogue",),
    "attribution": "teacher",
    "contextual": True,
}
READ_ELSEWHERE = {"validation_fraction": 0.3, "test_fraction": 0.3, "chunk_characters": 400, "chunk_overlap": 10}


def ident(recipe: Recipe, books: dict[str, str] = BOOKS, **given: Any) -> str:
    return data_id(recipe, books, **{"teacher": TEACHER, **given})


def test_every_field_is_read() -> None:
    assert {one.name for one in fields(Recipe)} == {*INSIDE, *READ_ELSEWHERE}


@pytest.mark.parametrize("name", INSIDE)
def test_what_changes_the_data_changes_the_id(name: str) -> None:
    assert ident(replace(RECIPE, **{name: INSIDE[name]})) != ident(RECIPE)


@pytest.mark.parametrize("name", READ_ELSEWHERE)
def test_what_is_not_read_is_no_part_of_it(name: str) -> None:
    other = replace(RECIPE, split="chapter", passages="fixed")
    assert ident(replace(RECIPE, **{name: READ_ELSEWHERE[name]})) == ident(RECIPE)
    assert ident(replace(other, **{name: READ_ELSEWHERE[name]})) != ident(other)


def test_books_teacher_and_files_given_by_hand_count_and_order_of_lists_does_not() -> None:
    others = [
        ident(RECIPE, {"a.txt": "2"}),
        ident(RECIPE, teacher={"name": "openai"}),
        ident(RECIPE, speakers="1"),
        ident(RECIPE, cast="1"),
        ident(replace(RECIPE, personas=(replace(WREXHAM, evasions=("I cannot say.",)),))),
        ident(RECIPE),
    ]
    assert len(set(others)) == len(others)
    assert ident(replace(RECIPE, test=RECIPE.test[::-1], kinds=RECIPE.kinds[::-1])) == ident(RECIPE)
    assert ident(replace(RECIPE, personas=(replace(WREXHAM, contexts={"a": "b"}),))) == ident(RECIPE)
