"""Which engine trains what cannot share a base model, and what it cannot do."""

import pytest

from persona_exp.errors import UserError


@pytest.mark.parametrize("override", ["method=full", "model.attention=eager"])
def test_what_cannot_share_a_base_model_is_trained_by_sft(config, override):
    assert config().engine.name == "fused"
    assert config("engine=fused", override).engine.name == "sft"
    assert config("engine=noop", override).engine.name == "noop"


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (("engine=sft",), "needs engine=fused: engine=sft has one rate for all weights."),
        (("model.attention=eager",), "needs engine=fused: model.attention=eager is not computed for several trials at once."),
    ],
)
def test_one_rate_for_all_is_what_sft_has(config, overrides, says):
    with pytest.raises(UserError) as refusal:
        config(*overrides, "optim.loraplus_lr_ratio=16")
    assert str(refusal.value) == f"optim.loraplus_lr_ratio=16 {says}"
    assert config("engine=noop", "optim.loraplus_lr_ratio=16").optim.loraplus_lr_ratio == 16


@pytest.mark.parametrize(
    ("override", "says"),
    [("engine=sft", "engine=sft computes no validation loss"), ("method=full", "method=full changes the base model")],
)
def test_validation_while_it_trains_is_of_engine_fused(config, override, says):
    with pytest.raises(UserError) as refusal:
        config(override, "train.eval_steps=5")
    assert str(refusal.value) == f"train.eval_steps=5 needs engine=fused: {says}."
    assert config("engine=sft", "method=none", "train.eval_steps=5").train.eval_steps == 5


def test_trials_of_a_sweep_keep_the_engine_that_they_were_given(config):
    """One of them resolved to sft changes nothing for those that share its group."""
    from dataclasses import replace

    shared = config()
    alone = replace(shared, method=config("method=full").method)
    assert (shared.engine.name, alone.engine.name) == ("fused", "sft")
