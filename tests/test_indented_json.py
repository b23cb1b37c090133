"""Indented JSON is that of the standard library, letter for letter."""

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
def test_it_is_what_the_standard_library_writes(value):
    assert indented_json(value) == json.dumps(finite(value), indent=2, ensure_ascii=False, allow_nan=False)


@pytest.mark.parametrize("value", [(), (1, ("a",)), OrderedDict(a=(1.0, math.nan)), {None: 1, True: 2, 1.5: [{}]}, 'ä"\\\n\u2028'])
def test_so_it_is_of_other_lists_mappings_and_keys(value):
    assert indented_json(value) == json.dumps(finite(value), indent=2, ensure_ascii=False, allow_nan=False)


def test_what_json_has_no_form_of_is_refused():
    with pytest.raises(TypeError):
        indented_json({"a": [object()]})
