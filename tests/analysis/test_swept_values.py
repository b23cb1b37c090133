import pytest

from analysis.swept_values import as_number, ordered_values, value_text


@pytest.mark.parametrize(("value", "wanted"), [(8, 8.0), ("1e-4", 1e-4), (True, None), (None, None), ("cosine", None), ([1], None)])
def test_number(value, wanted):
    assert as_number(value) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"), [(1e-4, "0.0001"), (1e-5, "1e-05"), (True, "true"), (None, "null"), (["a", 2], "[a, 2]"), ({"a": 1.5}, "{a: 1.5}")]
)
def test_shown(value, wanted):
    assert value_text(value) == wanted


@pytest.mark.parametrize(
    ("values", "wanted"),
    [([32, 8, 16, 8], [8, 16, 32]), (["b", "a", "b"], ["b", "a"]), (["1e-3", "2e-4"], ["2e-4", "1e-3"])],
)
def test_ordered(values, wanted):
    assert ordered_values(values) == wanted
