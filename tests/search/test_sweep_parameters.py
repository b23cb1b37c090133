"""hydra.sweeper.params under the command line."""

import pytest

from persona_exp.errors import UserError
from persona_exp.search.sweep_parameters import refuse_twice, roles_swept, with_parameters


def test_params_come_first_and_the_command_line_wins():
    params = {"lora.r": "8,16", "optim.lr": 1e-4, "model": "tiny,smollm2-135m"}
    assert with_parameters(params, ["lora.r=4", "seed=0,1"]) == ["optim.lr=0.0001", "model=tiny,smollm2-135m", "lora.r=4", "seed=0,1"]


@pytest.mark.parametrize("argument", ["+bundle.x=1", "~bundle.x", "++bundle.x=2"])
def test_the_same_setting_with_a_sign(argument):
    assert with_parameters({"bundle.x": "1,2", "+seed": 1}, [argument]) == ["+seed=1", argument]


def test_values_are_written_in_hydras_grammar():
    assert with_parameters({"data.size": None, "train.packing": True}, []) == ["data.size=null", "train.packing=true"]


@pytest.mark.parametrize("value", [[8, 16], {"a": 1}])
def test_a_list_is_refused(value):
    with pytest.raises(UserError, match="write its values as text"):
        with_parameters({"lora.r": value}, [])


def test_a_setting_in_params_and_pairs_is_refused():
    refuse_twice({"lora.r": "8,16"}, [{"seed": 0}])
    with pytest.raises(UserError, match="leave it in one of them"):
        refuse_twice({"lora.r": "8,16", "seed": "0,1"}, [{"seed": 0}])


def test_arms_are_swept_or_fixed_by_the_command_line():
    assert roles_swept("arms", ["lora.r", "optim.lr"], ["lora.r", "seed"], ["lora.r=8,16", "optim.lr=1e-3"]) == ["lora.r"]
    with pytest.raises(UserError, match=r"arms names lora.alpha, which this sweep does not sweep"):
        roles_swept("arms", ["lora.alpha"], ["lora.r"], ["lora.r=8,16"])
