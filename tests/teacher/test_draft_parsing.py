"""JSON as models write it."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_exp.teacher.draft_parsing import drafts_in
from persona_exp.teacher.teacher_interface import Draft

ONE = Draft("Who?", "I did.")
BARE = '{"user": "Who?", "assistant": "I did."}'
WHOLE = f'{{"examples": [{BARE}]}}'


@pytest.mark.parametrize(
    "text",
    [
        WHOLE,
        f"```json\n{WHOLE}\n```",
        f"Here you are:\n\n{WHOLE}\n\nI hope that this helps {{you}}.",
        f'<think>Perhaps {{"examples": [{{"user": "a", "assistant": "b"}}]}}?</think>{WHOLE}',
        BARE,
        f"[{BARE}]",
        f'{{"examples": [{BARE}, {{"user": "And th',
        '{"examples": [{"user": " Who?\\n", "assistant": "I did.\n"}]}',
        '{"note": 1} ' + WHOLE,
    ],
)
def test_forms_that_are_understood(text):
    assert drafts_in(text, 3) == (ONE,)


@pytest.mark.parametrize(
    "text",
    ["", "no", "{", "{}", "[]", '{"examples": 3}', '{"examples": [3]}', '{"user": "Who?"}', '{"examples": [{"user": 1, "assistant": 2}]}'],
)
def test_forms_that_are_not(text):
    assert drafts_in(text, 1) is None


def test_nothing_to_say_is_an_answer():
    assert drafts_in('{"examples": []}', 1) == ()


def test_no_more_than_asked():
    assert len(drafts_in(json.dumps({"examples": [vars(ONE)] * 5}), 2)) == 2


@pytest.mark.parametrize(
    "text", ["{" * 200_000, '{"a":' * 200_000, "[" * 200_000, '{"a": "' + "x" * 2_000_000, '{"a": {"b": 1}, ' * 50_000]
)
def test_malice_takes_no_time(text):
    started = time.process_time()
    assert drafts_in(text, 1) is None
    assert time.process_time() - started < 20


@given(st.lists(st.builds(Draft, st.text(), st.text()), max_size=4), st.text(alphabet="abc \n`.!"), st.text(alphabet="abc \n`.!"))
def test_whatever_is_written_is_read(drafts, before, after):
    stripped = tuple(Draft(*(part.encode(errors="replace").decode().strip() for part in (draft.user, draft.assistant))) for draft in drafts)
    assert drafts_in(before + json.dumps({"examples": [vars(draft) for draft in drafts]}) + after, 4) == stripped


@given(st.text())
def test_anything_is_survived(text):
    found = drafts_in(text, 1)
    assert found is None or len(found) <= 1
