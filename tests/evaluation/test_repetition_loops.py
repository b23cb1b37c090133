import re
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_exp.evaluation import repetition_loops as module
from persona_exp.evaluation.repetition_loops import REPEATED, loops

STORIES = Path(module.__file__).parents[1] / "corpus" / "bundled"


@pytest.mark.parametrize(
    "text",
    [
        "Aye, " * 11,
        "Well, sir, I do not know. " + "Aye, aye, " * 8 + "and so we went.",
        "I am the harbour master of this port, sir, so I am. I am the harbour master of this port, sir, so I am.",
        "The lamp was lit. " * 5 + "The lamp",
        "。".join(["我不知道船长去了哪里"] * 6),
        "-" * 60,
    ],
)
def test_what_is_said_over_and_over_loops(text: str) -> None:
    assert loops(text)
    assert loops("Upon my word! " + text.upper())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Yes.",
        "No, no, no, no!",
        "Aye, " * 10,
        "Come along with me! Come along with me!",
        "Row, row, row your boat gently down the stream, merrily, merrily, merrily, merrily.",
        "I am the harbour master of this port, sir. And who are you? I am the harbour master of this port, sir.",
    ],
)
def test_emphasis_and_refrains_do_not(text: str) -> None:
    assert not loops(text)


@given(phrase=st.text("abcdefgh ,.", min_size=1, max_size=60), times=st.integers(2, 12))
def test_the_definition(phrase: str, times: int) -> None:
    characters = "".join(phrase.split())
    if characters and len(characters) * (times - 1) >= REPEATED:
        assert loops(phrase * times)


def test_nothing_that_a_person_wrote_loops() -> None:
    texts = [path.read_text(encoding="utf-8") for path in STORIES.rglob("*.txt")]
    passages = list(chain.from_iterable(re.split(r"\n\s*\n", text) for text in texts))
    assert len(passages) > 500
    assert not [one for one in passages if loops(one)]
