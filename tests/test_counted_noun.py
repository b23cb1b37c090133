import pytest

from persona_exp.counted_noun import counted, of_number


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [(1, "trial", "1 trial"), (0, "trial", "0 trials"), (2, "reply", "2 replies"), (1, "reply", "1 reply"), (1200, "day", "1,200 days")],
)
def test_a_number_goes_with_its_noun(number, noun, text):
    assert counted(number, noun) == text


@pytest.mark.parametrize(("number", "unit", "text"), [(1, "replies", "reply"), (2, "replies", "replies"), (1, "tokens", "token")])
def test_a_unit_goes_with_its_number(number, unit, text):
    assert of_number(number, unit) == text
