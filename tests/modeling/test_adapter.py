import json
import math
from pathlib import Path

import pytest
import torch
from peft import get_peft_model_state_dict
from transformers import LlamaConfig, LlamaForCausalLM

from persona_exp.errors import UserError
from persona_exp.modeling.adapter import add_lora, initial_a, load_adapter, save_adapter, trainable_parameters
from persona_exp.modeling.base import load_model

SEVEN = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
PRECISIONS = [("none", "float32"), ("none", "bfloat16"), ("nf4", "bfloat16")]


def adapted(folder: Path, quantisation: str = "none", dtype: str = "float32", targets=SEVEN, seed: int = 3, rslora: bool = False):
    return add_lora(load_model(folder, quantisation, True, dtype, "sdpa"), 8, 16, 0.1, targets, rslora, seed)


def weights(model) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in get_peft_model_state_dict(model).items()}


@pytest.mark.parametrize(("quantisation", "dtype"), PRECISIONS)
def test_the_seed_alone_decides_the_bytes(tiny: Path, quantisation: str, dtype: str) -> None:
    torch.manual_seed(1)
    first = weights(adapted(tiny, quantisation, dtype))
    torch.randn(1234)
    second = weights(adapted(tiny, quantisation, dtype))
    other = weights(adapted(tiny, quantisation, dtype, seed=4))
    assert len(first) == 2 * 2 * len(SEVEN)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first if "lora_A" in name)


def test_precision_of_the_base_and_other_targets_change_nothing(tiny: Path) -> None:
    whole = weights(adapted(tiny))
    for part in (weights(adapted(tiny, targets=["up_proj"])), weights(adapted(tiny, "nf4", "bfloat16"))):
        assert all(torch.equal(tensor, whole[name]) for name, tensor in part.items())


def test_the_global_random_state_is_left_alone(tiny: Path) -> None:
    model = load_model(tiny, "none", True, "float32", "sdpa")
    before = torch.get_rng_state()
    add_lora(model, 8, 16, 0.1, SEVEN, False, seed=3)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(("quantisation", "dtype"), PRECISIONS)
def test_adapters_are_float32_and_alone_in_being_trained(tiny: Path, quantisation: str, dtype: str) -> None:
    model = adapted(tiny, quantisation, dtype)
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert all("lora_" in name and parameter.dtype == torch.float32 for name, parameter in trained.items())
    inputs_and_outputs = 4 * (64 + 64) + 3 * (64 + 128)  # k and v have one head as wide as the model, q and o two of them …
    inputs_and_outputs += 2 * 64  # … which is 64 more for each.
    assert trainable_parameters(model) == 2 * 8 * inputs_and_outputs
    assert model.training
    tokens = torch.arange(3, 30)[None]
    model(tokens, labels=tokens).loss.backward()
    assert all(parameter.grad is not None for parameter in trained.values())


@pytest.mark.parametrize(("quantisation", "dtype"), PRECISIONS)
def test_an_evaluation_in_between_leaves_the_gradients_as_they_were(tiny: Path, quantisation: str, dtype: str) -> None:
    tokens = torch.arange(3, 30)[None]

    def gradients(evaluate: bool) -> dict[str, torch.Tensor]:
        model = add_lora(load_model(tiny, quantisation, True, dtype, "sdpa"), 8, 16, 0.0, SEVEN, False, seed=3)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.constant_(parameter, 0.01)
        if evaluate:
            with torch.no_grad():
                model.eval()(tokens)
            model.train()
        model(tokens, labels=tokens).loss.backward()
        return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}

    before, after = gradients(False), gradients(True)
    assert all(torch.equal(before[name], after[name]) and before[name].any() for name in before)


def test_a_new_adapter_changes_nothing(tiny: Path) -> None:
    tokens = torch.arange(3, 30)[None]
    base = load_model(tiny, "none", True, "float32", "sdpa")(tokens).logits
    assert torch.equal(adapted(tiny).eval()(tokens).logits, base)


def test_the_first_a_is_uniform_with_pefts_bound() -> None:
    a = initial_a(0, "model.layers.0.mlp.up_proj", 64, 256)
    assert a.abs().max() <= 1 / 16
    assert a.std().item() == pytest.approx(1 / 16 / math.sqrt(3), rel=0.02)
    assert abs(a.mean().item()) < 0.001


@pytest.mark.parametrize(("rslora", "scale"), [(False, 2.0), (True, 16 / math.sqrt(8))])
def test_scale(tiny: Path, rslora: bool, scale: float) -> None:
    layer = adapted(tiny, rslora=rslora).base_model.model.model.layers[0].mlp.up_proj
    assert layer.scaling["default"] == pytest.approx(scale)


@pytest.mark.parametrize("targets", [["q_proj", "c_attn"], ["_proj"], []])
def test_targets_that_are_not_there_are_named_with_those_that_are(tiny: Path, targets: list[str]) -> None:
    with pytest.raises(UserError, match=f"{targets[-1] if targets else 'entry'}.*down_proj, gate_proj, k_proj"):
        adapted(tiny, targets=targets)


@pytest.mark.parametrize(("quantisation", "dtype"), PRECISIONS)
def test_a_saved_adapter_computes_the_same_when_loaded(tiny: Path, tmp_path: Path, quantisation: str, dtype: str) -> None:
    model = adapted(tiny, quantisation, dtype)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.linspace(-0.1, 0.1, parameter.numel()).reshape(parameter.shape))
    model.save_pretrained(str(tmp_path))
    again = load_adapter(load_model(tiny, quantisation, True, dtype, "sdpa"), tmp_path)
    tokens = torch.arange(3, 40)[None]
    expected = model.eval()(tokens).logits
    assert torch.equal(again(tokens).logits, expected)
    assert not torch.equal(load_model(tiny, quantisation, True, dtype, "sdpa")(tokens).logits, expected)
    assert (again.training, trainable_parameters(again)) == (False, 0)
    assert {parameter.dtype for name, parameter in again.named_parameters() if "lora_" in name} == {torch.float32}


def test_another_models_adapter_is_refused(tiny: Path, tmp_path: Path) -> None:
    adapted(tiny).save_pretrained(str(tmp_path))
    for change in ({"num_hidden_layers": 3}, {"hidden_size": 128}):
        sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 50}
        with pytest.raises(UserError, match="The adapter in"):
            load_adapter(LlamaForCausalLM(LlamaConfig(**sizes | change)), tmp_path)
    with pytest.raises(UserError, match="holds no adapter"):
        load_adapter(LlamaForCausalLM(LlamaConfig(**sizes)), tmp_path / "nowhere")


def test_a_saved_adapter_names_its_base_model_not_this_machine(tiny: Path, tmp_path: Path) -> None:
    save_adapter(adapted(tiny), tmp_path, "someone/some-model")
    assert json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] == "someone/some-model"
    assert not [path for path in tmp_path.iterdir() if str(tiny).encode() in path.read_bytes()]
    load_adapter(load_model(tiny, "none", True, "float32", "sdpa"), tmp_path)
