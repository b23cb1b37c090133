"""The check that decides which engine may train a family: sound families pass with other sizes, windows and scales, others do not."""

from typing import Any

import pytest
import torch
from transformers import AutoConfig

from persona_exp.modeling.multi_lora import document_attention, shared_model
from persona_exp.modeling.multi_lora.recurrent_layers import recurrent_layers
from persona_exp.training.fused import engine_parity_check, small_random_model
from persona_exp.training.fused.engine_parity_check import check_parity
from persona_exp.training.fused.small_random_model import random_small_model, small_config

SIZES: dict[str, Any] = {"vocab_size": 71, "hidden_size": 48, "intermediate_size": 56, "num_hidden_layers": 2, "num_attention_heads": 3}


def config(kind: str, **settings: Any) -> Any:
    return AutoConfig.for_model(kind, **settings).get_text_config()


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("llama", SIZES),
        ("granite", {**SIZES, "logits_scaling": 7.0, "attention_multiplier": 0.2}),
        ("cohere", {**SIZES, "logit_scale": 0.2}),
        ("phi", SIZES),
        ("mistral", {**SIZES, "num_key_value_heads": 1, "sliding_window": 5, "head_dim": 16}),
        ("gemma2", {**SIZES, "num_key_value_heads": 1, "head_dim": 16, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 1.5}),
        ("gemma3_text", {}),
        ("qwen3_moe", {}),
        ("qwen3_5_text", {}),
        ("lfm2", {"layer_types": ["conv", "full_attention"], "num_hidden_layers": 2}),
        ("granitemoehybrid", {}),
        ("stablelm", {}),
    ],
)
def test_a_family_that_rows_compute_rightly(kind, settings):
    found = check_parity(config(kind, **settings))
    assert (found.against_rows, found.against_training, found.tried) == ("", "", True)
    assert found.targets


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("gpt_oss", "takes s_aux, which engine=fused does not compute"),
        ("falcon", "falcon fails where several conversations are computed in one row"),
        ("bloom", "off by"),
    ],
)
def test_a_family_that_they_do_not_is_left_to_the_other_engine(kind, reason):
    found = check_parity(config(kind))
    assert reason in found.against_rows
    assert found.against_training == ""


def test_a_model_that_sees_what_comes_later_is_for_no_engine():
    found = check_parity(config("bert"))
    assert "no causal language model" in found.against_training
    assert found.against_rows == found.against_training


def test_projections_that_a_model_reads_past_are_no_targets():
    found = check_parity(config("phimoe"))
    assert found.against_rows == ""
    assert "q_proj" in found.targets
    assert "router" not in found.targets


def test_a_leak_between_conversations_is_found(monkeypatch):
    monkeypatch.setattr(shared_model, "recurrent_layers", lambda model: iter(()))
    found = check_parity(config("lfm2", layer_types=["conv", "full_attention"], num_hidden_layers=2))
    assert "off by" in found.against_rows


def test_a_window_that_is_left_out_is_found(monkeypatch):
    monkeypatch.setattr(document_attention, "_narrower", lambda window, longest: None)
    assert "off by" in check_parity(config("mistral")).against_rows


def test_a_scale_of_the_head_that_is_left_out_is_found(monkeypatch):
    monkeypatch.setattr(engine_parity_check, "logits", lambda model, hidden: model.get_output_embeddings()(hidden))
    assert "off by" in check_parity(config("granite", logits_scaling=3.0)).against_rows


def test_a_wrong_gradient_is_found(monkeypatch):
    right = engine_parity_check.chunked_cross_entropy

    def doubled(*given: Any) -> Any:
        total, each = right(*given)
        return total * 2, each

    monkeypatch.setattr(engine_parity_check, "chunked_cross_entropy", doubled)
    assert "the gradients of" in check_parity(config("llama")).against_rows


def test_a_small_gradient_that_is_missing_is_found(monkeypatch):
    right = engine_parity_check.chunked_cross_entropy
    monkeypatch.setattr(
        engine_parity_check,
        "chunked_cross_entropy",
        lambda *given: tuple(one.detach() if n else one * 0 for n, one in enumerate(right(*given))),
    )
    assert "the gradients of" in check_parity(config("granite", logits_scaling=5000.0)).against_rows


def test_projections_that_no_gradient_reaches_are_no_targets():
    model = random_small_model(small_config(config("llama")))
    layer = model.model.layers[0].mlp
    layer.extra = torch.nn.Linear(layer.gate_proj.in_features, 4, bias=False)
    assert engine_parity_check.idle(model) == {"extra"}


def test_a_kind_of_layer_that_is_lost_is_noticed(monkeypatch):
    monkeypatch.setattr(
        small_random_model, "reduce_config", lambda whole: type(whole).from_dict({**whole.to_dict(), "layer_types": ["full_attention"] * 2})
    )
    found = check_parity(config("lfm2", layer_types=["conv", "full_attention"], num_hidden_layers=2, vocab_size=99, hidden_size=32))
    assert "is lost in making it small" in found.against_rows
    assert not found.tried


def test_the_same_every_time_and_nothing_drawn_from_outside():
    before = torch.random.get_rng_state()
    first, second = (random_small_model(small_config(config("llama"))) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first.parameters(), second.parameters(), strict=True))
    assert check_parity(config("llama")) == check_parity(config("llama"))
    assert torch.equal(before, torch.random.get_rng_state())


def test_recurrent_layers_are_those_with_a_state_along_the_row():
    model = random_small_model(small_config(config("qwen3_5_text")))
    assert {type(layer).__name__ for layer in recurrent_layers(model)} == {"Qwen3_5GatedDeltaNet"}
    assert not list(recurrent_layers(random_small_model(small_config(config("llama")))))
