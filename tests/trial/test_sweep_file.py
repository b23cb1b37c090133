"""sweep.yaml reads alike as YAML and by its lines of JSON, whatever stands in it; older ones are left to YAML."""

import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from persona_exp.trial.recorded_sweep import read_sweep
from persona_exp.trial.sweep_file import parse_sweep, sweep_text

HEAD = {"name": "s", "command": "python run.py -m 'a=1,2'", "swept": ["a"], "created": "2026-03-01T18:00:00+00:00"}
TEXTS = ["", "ä 😀", "a\u2028b\x85c\x7f", 'q"\\ \n\t', "1e-5", "yes", "null", "trials:", "- {", "\ufeff", "#", "'"]
NUMBERS = [0, -3, 1e-05, 1.5e300, 0.1, -1e-7, 1e22, True, None, 10**20]

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3))


def row(value, trial_id="0123456789ab"):
    return {"trial_id": trial_id, "role": "adapter", "overrides": {"a": value}, "evaluations": {"adapter": "e123456789ab"}}


@pytest.mark.parametrize("value", [*TEXTS, *NUMBERS, [1.0, "x"], {"a": {"b": 1e-9}}], ids=repr)
def test_yaml_and_json_read_the_same(value):
    rows = [row(value), row(value, "012345678901")]
    text = sweep_text(HEAD, rows)
    assert parse_sweep(text) == yaml.safe_load(text) == {**HEAD, "trials": rows}
    assert type(parse_sweep(text)["trials"][0]["overrides"]["a"]) is type(value)


@given(values)
def test_whatever_a_setting_is_both_read_it(value):
    text = sweep_text(HEAD, [row(value)])
    assert parse_sweep(text) == yaml.safe_load(text) == {**HEAD, "trials": [row(value)]}


def test_numbers_that_are_not_finite_are_left_to_yaml():
    text = sweep_text(HEAD, [row(math.inf)])
    assert parse_sweep(text) is None
    assert yaml.safe_load(text)["trials"] == [row(math.inf)]


def test_a_sweep_without_trials_is_left_to_yaml():
    text = sweep_text(HEAD, [])
    assert (parse_sweep(text), yaml.safe_load(text)["trials"]) == (None, [])


def test_an_older_or_a_cut_one_is_left_to_yaml():
    text = sweep_text(HEAD, [row(1), row(2)])
    assert parse_sweep(yaml.safe_dump({**HEAD, "trials": [row(1)]}, sort_keys=False)) is None
    for length in range(len(text)):
        cut = text[:length]
        assert parse_sweep(cut) is None or yaml.safe_load(cut) == parse_sweep(cut), cut


def test_a_sweep_in_either_form_is_the_same(tmp_path):
    folder = tmp_path / "sweeps" / "s"
    folder.mkdir(parents=True)
    found = []
    for text in (sweep_text(HEAD, [row(1), row(2, "a" * 12)]), yaml.safe_dump({**HEAD, "trials": [row(1), row(2, "a" * 12)]})):
        (folder / "sweep.yaml").write_text(text)
        found.append(read_sweep(tmp_path, "s"))
    assert found[0] == found[1]
    assert [one.title for one in found[0].trials] == ["a=1", "a=2"]
