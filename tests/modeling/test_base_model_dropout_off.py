"""Base models in training mode compute what they compute in evaluation."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from persona_exp.modeling.base_model_dropout_off import switch_dropout_off
from persona_exp.modeling.model_loading import load_model

SIZES = {"vocab_size": 99, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2}
# What their pretraining had, or could have had.
FAMILIES = {
    "phi": {"resid_pdrop": 0.3, "embd_pdrop": 0.3, "attention_dropout": 0.3, "num_key_value_heads": 2},
    "gpt_neox": {"attention_dropout": 0.3, "hidden_dropout": 0.3},
    "granite": {"attention_dropout": 0.3, "num_key_value_heads": 2},
    "mixtral": {"router_jitter_noise": 0.5, "attention_dropout": 0.3, "num_local_experts": 2, "num_key_value_heads": 1},
    "stablelm": {"hidden_dropout": 0.3, "attention_dropout": 0.3, "num_key_value_heads": 2},
    "falcon": {"hidden_dropout": 0.3, "attention_dropout": 0.3},
    "bloom": {"n_layer": 3, "hidden_dropout": 0.3, "attention_dropout": 0.3},
    "opt": {"dropout": 0.3, "attention_dropout": 0.3, "layerdrop": 0.5, "word_embed_proj_dim": 32, "ffn_dim": 48},
    "gpt2": {"n_embd": 32, "n_layer": 3, "n_head": 2, "resid_pdrop": 0.3, "embd_pdrop": 0.3, "attn_pdrop": 0.3},
}


def made(kind, attention):
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **{**SIZES, **FAMILIES[kind]}, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    return AutoModelForCausalLM.from_config(config, attn_implementation=attention)


@torch.no_grad()
def logits(model, training):
    return model.train(training)(input_ids=torch.arange(3, 40)[None], use_cache=False).logits


@pytest.mark.parametrize(("kind", "attention"), [*((kind, "eager") for kind in FAMILIES), ("phi", "sdpa"), ("granite", "sdpa")])
def test_training_computes_what_evaluation_does(kind, attention):
    model = made(kind, attention)
    own = logits(model, False)
    assert not torch.equal(logits(model, True), own)
    switch_dropout_off(model)
    for _ in range(3):
        assert torch.equal(logits(model, True), own)
    assert torch.equal(logits(model, False), own)


def test_it_is_so_of_each_model_that_is_loaded(tmp_path):
    made("phi", "sdpa").save_pretrained(tmp_path)
    model = load_model(tmp_path, "none", False, "float32", "sdpa")
    assert torch.equal(logits(model, True), logits(model, False))
    assert (model.config.resid_pdrop, model.config.attention_dropout) == (0.0, 0.0)


def test_router_losses_are_off(tmp_path):
    experts = made("mixtral", "sdpa")
    experts.config.output_router_logits = True
    experts.save_pretrained(tmp_path)
    model = load_model(tmp_path, "none", False, "float32", "sdpa")
    tokens = torch.arange(3, 40)[None]
    output = model(input_ids=tokens, labels=tokens)
    plain = torch.nn.functional.cross_entropy(output.logits[0, :-1], tokens[0, 1:])
    assert output.aux_loss is None
    assert output.loss.item() == pytest.approx(plain.item(), rel=1e-6)
