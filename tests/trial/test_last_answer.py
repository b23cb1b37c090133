"""An answer is kept while the same objects are asked of, and never longer."""

import pytest

from persona_exp.trial.last_answer import LastAnswer


def test_the_same_objects_and_equal_text_and_numbers_have_one_answer():
    given, asked = [1], []
    answer = LastAnswer[int]()
    for text in ("a", "".join(["", "a"]), "a"):
        answer((given, text, 1000), lambda: asked.append(1) or len(asked))
    assert len(asked) == 1


def test_another_object_is_asked_anew_though_it_is_equal():
    asked = []
    answer = LastAnswer[int]()
    found = [answer((value,), lambda: asked.append(1) or len(asked)) for value in ([1], [1], 1, 1.0, True, None, "1")]
    assert found == [1, 2, 3, 4, 5, 6, 7]


def test_what_fails_is_not_kept():
    answer = LastAnswer[int]()
    assert answer((1,), lambda: 1) == 1
    with pytest.raises(ZeroDivisionError):
        answer((2,), lambda: 1 // 0)
    assert (answer((1,), lambda: 5), answer((2,), lambda: 7)) == (1, 7)
