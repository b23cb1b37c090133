import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_exp.evaluation.word_tokenizer import words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("To-day's the day!", ["to-day's", "the", "day"]),
        ("He stopped--and “Don’t,” he cried.", ["he", "stopped", "and", "don't", "he", "cried"]),
        ("'Tis 221B Baker Street", ["tis", "b", "baker", "street"]),
        ("Été—naïve", ["été", "naïve"]),
        ("word_word -- ' - ’", ["word", "word"]),
        ("", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@given(st.lists(st.from_regex(r"[a-z]+(-[a-z]+)?", fullmatch=True)))
def test_spaced_words_are_found_again(parts: list[str]) -> None:
    assert words(" ".join(parts).upper()) == parts
