"""Sweeps by name."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_exp.config.schema.sweep_label import SweepLabel
from persona_exp.errors import UserError
from persona_exp.launch.sweeps.sweep_name import LONGEST_SLUG, asked_digest, refuse_taken, sweep_name, take


def test_the_name_shows_what_is_swept():
    assert sweep_name(["lora.r=8,16,32"], ["a"]).startswith("lora.r=8,16,32-")


def test_a_sweep_of_the_folder_sweeps_is_called_by_its_name():
    assert sweep_name(["+sweeps=lora_rank", "lora.r=8,16"], ["a"]).startswith("lora_rank,lora.r=8,16-")


def test_paths_stay_out_of_the_name():
    assert "home" not in sweep_name(["corpus.dir=/home/me/books", "seed=1,2"], ["a"])


def test_the_same_evaluations_give_the_same_name_whatever_their_order():
    assert sweep_name(["x=1"], ["a", "b"]) == sweep_name(["x=1"], ["b", "a"])


def test_other_evaluations_give_another_name():
    assert sweep_name(["x=1"], ["a", "b"]) != sweep_name(["x=1"], ["a", "c"])


@given(st.lists(st.text()), st.lists(st.text(min_size=1)))
def test_any_override_gives_a_folder_name(arguments, eval_ids):
    name = sweep_name(arguments, eval_ids)
    assert 8 <= len(name) <= LONGEST_SLUG + 9
    assert "/" not in name
    assert name not in (".", "..")
    assert name.isprintable()


def test_a_name_stays_with_the_sweep_that_took_it(tmp_path):
    folder = tmp_path / "sweeps" / "ranks"
    take(folder, asked_digest(["a", "b"]))
    take(folder, asked_digest(["b", "a"]))
    with pytest.raises(UserError, match=r"sweep\.name=ranks is taken by another sweep"):
        take(folder, asked_digest(["a", "c"]))
    with pytest.raises(UserError, match=r"sweep\.name=ranks is taken by another sweep"):
        refuse_taken(folder, asked_digest(["a", "c"]))


@pytest.mark.parametrize("name", ["sweep.yaml", "search.json"])
def test_a_name_that_older_sweeps_or_a_search_have_is_taken(tmp_path, name):
    (tmp_path / name).write_text("")
    with pytest.raises(UserError, match="is taken by another sweep"):
        take(tmp_path, asked_digest(["a"]))
    assert not (tmp_path / "asked.json").exists()


def test_a_damaged_record_of_who_has_the_name_is_said(tmp_path):
    (tmp_path / "asked.json").write_text('{"asked"')
    with pytest.raises(UserError, match=r"asked\.json is damaged: give another sweep\.name"):
        take(tmp_path, asked_digest(["a"]))


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "-m", "a b", "Émile", "a" * 81, "a\n", "latest", "0123456789ab"])
def test_a_name_that_is_no_folders_is_refused_in_one_sentence(name):
    with pytest.raises(UserError, match=re.escape(f"sweep.name={name}" if name.isprintable() else f"sweep.name={name!r}")) as refused:
        SweepLabel(name=name)
    assert str(refused.value).isprintable()


def test_a_note_is_one_line():
    assert SweepLabel(note="Émile's, [8,16]").note
    with pytest.raises(UserError, match=r"sweep\.note"):
        SweepLabel(note="a\x1b[2J")
