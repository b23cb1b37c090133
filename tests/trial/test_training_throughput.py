"""The figures of an attempt's training, counted by hand."""

import json
from dataclasses import replace

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from persona_exp.modeling.lora_adapter import add_lora
from persona_exp.trial.training_throughput import TrainingTotals, bundle_record, flops_per_token, multiplied_weights, training_record

# q and o 64 × 64, k and v 64 × 32, three of 64 × 96 in each of two layers, and the head of 64 × 128.
BY_HAND = 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 96) + 64 * 128
TOTALS = TrainingTotals(steps=40, resumed_from_step=10, seconds=20.0, tokens=5000, supervised_tokens=2000)


def llama(tied: bool) -> LlamaForCausalLM:
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    return LlamaForCausalLM(LlamaConfig(**sizes, head_dim=32, vocab_size=128, tie_word_embeddings=tied))


@pytest.mark.parametrize("tied", [True, False])
def test_weights_are_those_of_the_products(tied):
    assert multiplied_weights(llama(tied)) == BY_HAND


def test_adapters_are_no_part_of_the_base():
    model = add_lora(llama(False), r=4, alpha=8, dropout=0.1, target_modules=["q_proj", "up_proj"], rslora=False, seed=0)
    assert sum("lora_" in name for name, _ in model.named_parameters()) == 8
    assert multiplied_weights(model) == BY_HAND


def test_quantised_weights_count_as_what_they_stand_for():
    from bitsandbytes.nn import Linear4bit

    model = torch.nn.Sequential(Linear4bit(64, 128, bias=False, quant_type="nf4").to("cpu"))
    assert sum(one.numel() for one in model.parameters()) < 64 * 128
    assert multiplied_weights(model) == 64 * 128


def test_a_frozen_base_does_without_its_weights_gradient():
    assert flops_per_token(1000, frozen=True) == 4000
    assert flops_per_token(1000, frozen=False) == 6000


def test_the_record_of_a_trial_alone():
    found = training_record(TOTALS, flops_per_token=4_000_000, peak_flops=1e10, peak_memory_bytes=1 << 30, energy_joules=720.0)
    assert found == {
        "steps": 40,
        "resumed_from_step": 10,
        "seconds": 20.0,
        "tokens": 5000,
        "supervised_tokens": 2000,
        "tokens_per_second": 250.0,
        "model_flops_per_second": 1e9,
        "peak_flops_per_second": 1e10,
        "utilisation": 0.1,
        "peak_memory_bytes": 1 << 30,
        "energy_joules": 720.0,
    }
    assert json.loads(json.dumps(found)) == found


def test_what_is_not_known_is_null():
    found = training_record(TOTALS, flops_per_token=4_000_000)
    assert {key for key, value in found.items() if value is None} == {
        "peak_flops_per_second",
        "utilisation",
        "peak_memory_bytes",
        "energy_joules",
    }
    # Resumed after its last step, it trains nothing, in no time at all.
    found = training_record(replace(TOTALS, tokens=0, supervised_tokens=0, seconds=0.0), flops_per_token=4_000_000, peak_flops=1e10)
    assert (found["tokens_per_second"], found["model_flops_per_second"], found["utilisation"]) == (None, None, None)


def test_the_record_of_a_bundle():
    bundle = bundle_record(trials=4, row_tokens=2048, steps=50, tokens=60_000, seconds=240.0)
    assert bundle == {"trials": 4, "row_tokens": 2048, "tokens_a_step": 1200.0, "tokens_per_second": 250.0}
    assert training_record(TOTALS, flops_per_token=4_000_000, bundle=bundle)["bundle"] == bundle
    empty = bundle_record(trials=4, row_tokens=2048, steps=0, tokens=0, seconds=0.0)
    assert (empty["tokens_a_step"], empty["tokens_per_second"]) == (None, None)
