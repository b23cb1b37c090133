"""Damaged records are kept beside what takes their place."""

import pytest

from persona_exp.damaged_records import Damaged, set_aside_if_damaged
from persona_exp.errors import UserError


def test_a_file_is_set_aside_where_it_is_damaged_and_refused_where_something_else_is_wrong(tmp_path):
    file = tmp_path / "seals.json"

    def raising(error):
        def read():
            raise error("it is so")

        return read

    assert set_aside_if_damaged(file, raising(UserError)) is None
    file.write_text("{")
    assert set_aside_if_damaged(file, lambda: "whole") is None
    with pytest.raises(UserError, match="it is so"):
        set_aside_if_damaged(file, raising(UserError))
    assert file.read_text() == "{"
    assert set_aside_if_damaged(file, raising(Damaged)) == tmp_path / "seals.json.damaged"
    assert not file.exists()
