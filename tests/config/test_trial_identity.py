"""What is one trial and what are two."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from persona_exp.atomic_files import canonical_json, digest
from persona_exp.config.trial_identity import base_config, identity, trial_id
from persona_exp.errors import UserError
from persona_exp.trial.comparability import base_trial_id

GIVEN = {"model_digest": "m", "template_digest": None, "data_id": "d", "training_version": 1}

OUTSIDE = [
    "evaluation.likelihood_items=7",
    "runs=elsewhere",
    "tracker=tensorboard",
    "cluster.threads=1",
    "train.micro_batch_size=1",
    "train.checkpoint_steps=3",
    "train.log_steps=5",
    "train.gradient_checkpointing=true",
    "bundle.size=1",
    "bundle.row_tokens=512",
    "model.micro_batch_size=2",
    "model.name=other",
    "model.family=other",
    "model.parameters_b=70",
    "model.tuned=base",
]
INSIDE = [
    "lora.r=4",
    "lora.alpha=1",
    "lora.dropout=0",
    "optim.lr=3e-3",
    "optim.effective_batch_size=4",
    "optim.loraplus_lr_ratio=16",
    "engine=sft",
    "optim.warmup_ratio=0.1",
    "optim.warmup_steps=3",
    "engine=sft train.router_aux_loss=true",
    "train.epochs=2",
    "train.max_steps=5",
    "train.max_length=64",
    "train.eval_steps=5 train.early_stopping_patience=2",
    "seed=1",
    "data.mix.dialogue=0.5",
    "data.size=10",
    "data.seed=3",
    "method=qlora",
    "method=full",
    "lora.target_modules=[q_proj]",
    "model.dtype=float32",
    "model.attention=eager",
]


def ident(config, *overrides):
    return trial_id(identity(config(*overrides), **GIVEN))


@pytest.mark.parametrize("override", OUTSIDE)
def test_what_cannot_change_a_result_is_outside(config, override):
    assert ident(config, override) == ident(config)


@pytest.mark.parametrize("override", INSIDE)
def test_what_can_change_a_result_is_inside(config, override):
    assert ident(config, *override.split()) != ident(config)


def test_looks_count_only_where_they_can_stop_a_trial(config):
    assert ident(config, "train.eval_steps=5", "train.eval_items=3") == ident(config)
    stopping = ("train.eval_steps=5", "train.early_stopping_patience=2")
    others = ("train.eval_steps=6", "train.eval_items=3", "train.early_stopping_patience=3")
    assert len({ident(config, *stopping), *(ident(config, *stopping, one) for one in others)}) == 4


def test_settings_that_are_off_leave_no_trace(config):
    """So that an id has the form that it had before there were such settings."""
    what = identity(config(), **GIVEN)
    assert "warmup_ratio" in what["optim"]
    assert not {"warmup_steps"} & what["optim"].keys()
    assert not {"router_aux_loss", "micro_batch_size"} & what["train"].keys()


def test_warmup_in_steps_leaves_the_ratio_unread(config):
    steps = "optim.warmup_steps=3"
    assert ident(config, steps, "optim.warmup_ratio=0.5") == ident(config, steps) != ident(config, "optim.warmup_steps=4")


def test_a_constant_rate_reads_no_warmup(config):
    constant = "optim.schedule=constant"
    assert ident(config, constant, "optim.warmup_ratio=0") == ident(config, constant, "optim.warmup_steps=0") == ident(config, constant)
    for setting in ("warmup_steps=3", "warmup_ratio=0.2"):
        with pytest.raises(UserError, match=rf"optim\.{setting} does nothing with optim\.schedule=constant"):
            config(constant, f"optim.{setting}")


def test_a_warmup_of_all_steps_is_refused(config):
    assert config("optim.warmup_steps=4", "train.max_steps=5").optim.warmup_steps == 4
    with pytest.raises(UserError, match=r"optim\.warmup_steps=5 is not below train\.max_steps=5"):
        config("optim.warmup_steps=5", "train.max_steps=5")


def test_the_micro_batch_counts_where_experts_are_balanced_in_it(config):
    balanced = ("engine=sft", "train.router_aux_loss=true")
    assert ident(config, *balanced, "train.micro_batch_size=2") != ident(config, *balanced)
    assert ident(config, *balanced, "model.micro_batch_size=2") == ident(config, *balanced, "train.micro_batch_size=2")
    with pytest.raises(UserError, match=r"train\.router_aux_loss=true needs engine=sft"):
        config("engine=fused", "train.router_aux_loss=true")


@pytest.mark.parametrize("override", ["lora.r=4", "optim.lr=1e-3", "train.epochs=1", "seed=1", "data.mix.dialogue=0.5"])
def test_the_base_model_reads_no_training_setting(config, override):
    base = ("method=none",)
    assert ident(config, *base, override) == ident(config, *base)


@pytest.mark.parametrize("given", [{"model_digest": "x"}, {"template_digest": "x"}, {"data_id": "x"}, {"training_version": 2}])
def test_weights_data_and_version_are_inside(config, given):
    assert trial_id(identity(config(), **{**GIVEN, **given})) != ident(config)


def test_epochs_do_not_matter_where_max_steps_rules(config):
    assert ident(config, "train.max_steps=5", "train.epochs=1") == ident(config, "train.max_steps=5", "train.epochs=9")


def test_the_order_of_targets_does_not_matter(config):
    assert ident(config, "lora.target_modules=[q_proj,v_proj]") == ident(config, "lora.target_modules=[v_proj,q_proj]")


def test_double_quantisation_is_read_only_where_there_is_quantisation(config):
    assert ident(config, "method.double_quantisation=false") == ident(config)
    assert ident(config, "method=qlora", "method.double_quantisation=false") != ident(config, "method=qlora")


def test_full_fine_tuning_is_one_trial_whichever_engine_is_asked_for(config):
    assert ident(config, "method=full", "engine=fused") == ident(config, "method=full", "engine=sft") == ident(config, "method=full")


def test_the_base_model_has_no_engine(config):
    assert ident(config, "method=none", "engine=fused") == ident(config, "method=none", "engine=sft")


@pytest.mark.parametrize("method", ["full", "none"])
@pytest.mark.parametrize("engine", ["fused", "sft"])
def test_the_rate_of_b_is_read_only_where_there_is_b(config, method, engine):
    given = (f"method={method}", f"engine={engine}")
    assert ident(config, *given, "optim.loraplus_lr_ratio=16") == ident(config, *given)


def test_trial_id_is_twelve_hex_digits(config):
    assert len(ident(config)) == 12
    int(ident(config), 16)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(), json_values))
def test_digest_ignores_order_and_survives_json(value):
    shuffled = dict(reversed(list(value.items())))
    assert digest(value) == digest(shuffled) == digest(json.loads(canonical_json(value)))


@pytest.mark.parametrize("overrides", ["", *INSIDE, "method=none", "method=qlora method.double_quantisation=false"])
def test_the_base_model_of_a_trial_has_one_id_from_its_config_and_from_its_identity(config, overrides):
    made = config(*overrides.split())
    assert base_trial_id(identity(made, **GIVEN)) == trial_id(identity(base_config(made), **GIVEN))
