"""A persona whose name is mistyped is told the name that the books have."""

import json

import pytest

from persona_exp.trial.trial_dataset import name_in_books


@pytest.mark.parametrize(
    ("name", "says"),
    [("Tobias Wrexam", "; did you mean Tobias Wrexham?"), ("Tobias Wrexham", "."), ("Quentin Oort", ".")],
)
def test_the_name_that_was_meant(tmp_path, name, says):
    texts = ["said Tobias\nWrexham to the clerk.", "Tobias Wrexham rose. Mrs. Pell did not."]
    (tmp_path / "passages.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    assert name_in_books(tmp_path, name) == says
