"""The audit before step 1."""

from dataclasses import dataclass, field

import pytest

from persona_exp.errors import UserError
from persona_exp.training.labels import audit

END = 9


@dataclass
class Example:
    input_ids: list[int]
    labels: list[int]
    shortened: bool = False
    cut: bool = False
    more: dict = field(default_factory=dict)


def test_it_counts():
    report = audit([Example([1, 2, 3, END], [-100, -100, 3, END], shortened=True), Example([1, 2], [-100, 2], cut=True)], END)
    assert (report.examples, report.tokens, report.supervised_tokens, report.end_of_turn_tokens) == (2, 6, 3, 1)
    assert (report.shortened, report.cut) == (1, 1)
    assert "1 shortened and 1 cut" in report.sentence()


def test_nothing_supervised_is_refused():
    with pytest.raises(UserError, match="No token"):
        audit([Example([1, 2], [-100, -100])], END)


def test_a_model_that_would_never_stop_is_refused():
    with pytest.raises(UserError, match="never stop"):
        audit([Example([1, 2, END], [-100, 2, -100])], END)


def test_no_example_is_refused():
    with pytest.raises(UserError):
        audit([], END)
