"""JSON for scripts and for people: any reader of JSON gets the value back, and a setting or a row has a line."""

import json
import math
from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_exp.atomic_files import finite
from persona_exp.indented_json import indented_json

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
keys = st.text(max_size=4) | st.integers()
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3))


@given(values)
def test_read_again_it_is_the_value(value):
    assert json.loads(indented_json(value)) == json.loads(json.dumps(finite(value), allow_nan=False))


@pytest.mark.parametrize("value", [(), (1, ("a",)), OrderedDict(a=(1.0, math.nan)), {None: 1, True: 2, 1.5: [{}]}, 'ä"\\\n\u2028'])
def test_so_it_is_of_other_lists_mappings_and_keys(value):
    assert json.loads(indented_json(value)) == json.loads(json.dumps(finite(value), allow_nan=False))


def test_a_setting_and_a_row_have_a_line_each():
    value = {"name": "Émile", "none": [], "seeds": [1, 2], "config": {"r": 8, "empty": {}}, "rows": [{"r": 8, "loss": math.inf}, {"r": 16}]}
    assert indented_json(value).splitlines() == [
        "{",
        '  "name": "Émile",',
        '  "none": [],',
        '  "seeds": [1, 2],',
        '  "config": {',
        '    "r": 8,',
        '    "empty": {}',
        "  },",
        '  "rows": [',
        '    {"r": 8, "loss": null},',
        '    {"r": 16}',
        "  ]",
        "}",
    ]


def test_what_json_has_no_form_of_is_refused():
    with pytest.raises(TypeError):
        indented_json({"a": [object()]})
