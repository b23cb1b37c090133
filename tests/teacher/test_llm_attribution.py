"""Speakers as a language model names them, held to the cast."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_exp.teacher.concurrent_calls import TeacherCalls
from persona_exp.teacher.llm_attribution import Scene, ask_speakers, numbered, speakers_in
from persona_exp.teacher.token_and_money_budget import Budget

CAST = ("Tobias Wrexham", "Mrs. Dunn")


def test_numbers_stand_before_each_piece():
    text = '"Well," said he, "good day." "Good day."'
    assert numbered(text, [[(0, 7), (17, 28)], [(29, 40)]]) == '[1] "Well," said he, [1] "good day." [2] "Good day."'
    assert numbered(text, []) == text


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('{"speakers": {"1": "Tobias Wrexham", "2": null, "3": "mrs.  dunn"}}', ["Tobias Wrexham", None, "Mrs. Dunn"]),
        ('```json\n{"speakers": {"[1]": "Mrs. Dunn", "9": "Mrs. Dunn", "0": "Mrs. Dunn"}}\n```', ["Mrs. Dunn", None, None]),
        ('{"1": "Sherlock Holmes", "2": "Mrs. Dunn"}', [None, "Mrs. Dunn", None]),
        ('{"speakers": ["Mrs. Dunn", 4]}', ["Mrs. Dunn", None, None]),
        ('{"speakers": {"1": {"name": "Mrs. Dunn"}, "x": "Mrs. Dunn"}}', [None, None, None]),
        ("Mrs. Dunn, I think.", [None, None, None]),
        ('{"speakers": 3}', [None, None, None]),
    ],
)
def test_answers_outside_the_cast_name_nobody(text, named):
    assert speakers_in(text, 3, CAST) == named


@given(
    st.text() | st.from_regex(r'\{"speakers": \{("[0-9]{1,9}": ("Mrs. Dunn"|"Q"|null|\[\])(, )?){0,4}\}\}', fullmatch=True),
    st.integers(0, 5),
)
def test_as_many_as_there_are_quotes_and_none_but_the_cast(text, quotes):
    named = speakers_in(text, quotes, CAST)
    assert len(named) == quotes
    assert set(named) <= {*CAST, None}


def test_scenes_are_asked_once_in_order_and_paid_for(server, teacher, tmp_path):
    def behave(number, body):
        name = "Mrs. Dunn" if "kettle" in body["messages"][0]["content"] else "Tobias Wrexham"
        return server.answer(f'{{"speakers": {{"1": "{name}"}}}}')

    server.behave = behave
    scenes = [Scene('[1] "The kettle," said Mrs. Dunn.', 1, CAST), Scene('[1] "The rope," said Wrexham.', 1, CAST)]
    budget = Budget()
    for _ in range(2):
        assert ask_speakers(TeacherCalls(teacher(), tmp_path, budget, 2), scenes) == [["Mrs. Dunn"], ["Tobias Wrexham"]]
    assert budget.spent().calls == len(server.bodies) == 2
