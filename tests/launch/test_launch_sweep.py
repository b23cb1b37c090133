"""Sweeps by name."""

from hypothesis import given
from hypothesis import strategies as st

from persona_exp.launch.launch_sweep import LONGEST_SLUG, sweep_name


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
