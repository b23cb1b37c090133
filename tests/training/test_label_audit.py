"""The audit before step 1."""

import pytest

from persona_exp.errors import UserError
from persona_exp.modeling.supervised_token_mask import Encoded
from persona_exp.modeling.tokenised_dataset import TokenisedConversation, gather
from persona_exp.training.label_audit import audit_labels, count_labels

END = 9
WHOLE = Encoded([1, 2, 3, END], [-100, -100, 3, END], shortened=True, cut=False)
CUT = Encoded([1, 2], [-100, 2], shortened=False, cut=True)


def encodings(*encoded: Encoded):
    return gather([TokenisedConversation(f"example {number}", 9, one) for number, one in enumerate(encoded)], END)


def test_it_counts():
    report = audit_labels(encodings(WHOLE, CUT))
    assert (report.examples, report.tokens, report.supervised_tokens, report.end_of_turn_tokens) == (2, 6, 3, 1)
    assert (report.shortened, report.cut, report.skipped) == (1, 1, 0)
    assert report.sentence() == "2 training examples, 6 tokens, 3 supervised; 1 shortened and 1 cut to fit."


def test_what_is_left_out_is_counted_and_the_first_are_named():
    report = audit_labels(encodings(WHOLE), ["b", "a", "a"])
    assert report.sentence().endswith("0 cut to fit; 3 skipped, which do not fit: b, a ….")
    assert (report.as_dict()["skipped"], report.as_dict()["skipped_examples"]) == (3, ["b", "a"])
    many = audit_labels(encodings(WHOLE), [str(number) for number in range(9)])
    assert many.sentence("items").endswith("9 skipped, which do not fit: 0, 1, 2, 3, 4 ….")
    assert audit_labels(encodings(WHOLE), ["only"]).sentence().endswith("1 skipped, which do not fit: only.")


def test_nothing_supervised_is_refused():
    with pytest.raises(UserError, match="No token"):
        audit_labels(encodings(Encoded([1, 2], [-100, -100], shortened=False, cut=False)))


def test_a_model_that_would_never_stop_is_refused():
    with pytest.raises(UserError, match="never stop"):
        audit_labels(encodings(CUT))
    assert count_labels(encodings(CUT)).cut == 1


def test_no_example_is_refused():
    with pytest.raises(UserError):
        audit_labels(encodings())
