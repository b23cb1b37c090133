"""A model that computes in float32 for a while: the figures of one that always did, and afterwards the bits that it had."""

from pathlib import Path
from typing import Any

import pytest
import torch

from persona_exp import cgroup_memory
from persona_exp.errors import UserError
from persona_exp.modeling import float32_computation
from persona_exp.modeling.float32_computation import head_in_float32, in_float32
from persona_exp.modeling.model_loading import load_model
from persona_exp.modeling.nf4_dequantisation import dequantise

TOKENS = torch.arange(4, 60)[None]


def load(folder: Path, dtype: str = "bfloat16", quantisation: str = "none") -> Any:
    return load_model(folder, quantisation, True, dtype, "sdpa")


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(TOKENS).logits
    return found


def bits(model: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def unchanged(model: Any, before: dict[str, torch.Tensor]) -> bool:
    after = bits(model)
    return after.keys() == before.keys() and all(
        one.dtype == before[name].dtype and torch.equal(one, before[name]) for name, one in after.items()
    )


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_it_computes_what_the_same_weights_in_float32_do_and_is_itself_again(tiny, dtype):
    model = load(tiny, dtype)
    exact = load(tiny, dtype).float()
    before, halves = bits(model), logits(model)
    with in_float32(model):
        # The tied head is converted once: it is the embedding still.
        assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
        assert {one.dtype for one in model.parameters()} == {torch.float32}
        found = logits(model)
        with in_float32(model):
            assert torch.equal(logits(model), found)
        assert {one.dtype for one in model.parameters()} == {torch.float32}
    assert found.dtype == torch.float32
    assert torch.allclose(found, logits(exact), rtol=1e-5, atol=1e-5)
    assert unchanged(model, before)
    assert torch.equal(logits(model), halves)
    assert not any("forward" in vars(module) for module in model.modules())


def test_an_error_inside_leaves_nothing_behind(tiny):
    model = load(tiny)
    before = bits(model)
    with pytest.raises(ZeroDivisionError), in_float32(model):
        raise ZeroDivisionError
    assert unchanged(model, before)
    assert not any("forward" in vars(module) for module in model.modules())


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_4_bit_projections_count_the_same_kept_or_not(tiny, dtype):
    packed, kept = load(tiny, dtype, "nf4"), load(tiny, dtype, "nf4")
    dequantise(kept)
    modules = {name: module for name, module in packed.named_modules() if type(module).__name__ == "Linear4bit"}
    outside = logits(packed)
    assert modules
    with in_float32(packed), in_float32(kept):
        assert torch.equal(logits(packed), logits(kept))
        assert not any(type(module).__name__ == "Linear4bit" for module in packed.modules())
    assert {name: packed.get_submodule(name) for name in modules} == modules
    assert torch.equal(logits(packed), outside)


def test_without_the_memory_for_it_nothing_is_begun(tiny, monkeypatch):
    model = load(tiny)
    before = bits(model)
    monkeypatch.setattr(cgroup_memory, "free_bytes", lambda: 1000)
    with pytest.raises(UserError, match=r"in float32, which takes 0\.0 GiB more .*hydra\.launcher\.mem_gb"), in_float32(model):
        pass
    assert unchanged(model, before)
    # What is float32 already takes nothing.
    with in_float32(load(tiny, "float32")):
        pass


def test_without_onednns_product_the_figures_are_the_same(tiny, monkeypatch):
    model = load(tiny)
    assert float32_computation._onednn_multiplies() == torch.backends.mkldnn.is_available()
    with in_float32(model):
        fast = logits(model)
    monkeypatch.setattr(float32_computation, "_onednn_multiplies", lambda: False)
    with in_float32(model):
        assert not any("forward" in vars(module) for module in model.modules())
        assert torch.allclose(logits(model), fast, rtol=1e-5, atol=1e-5)


def test_products_are_exact_whatever_the_process_allows(tiny):
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with in_float32(load(tiny)):
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("rows", [16384, 100])
def test_a_head_multiplies_half_precision_states_in_float32(tiny, monkeypatch, rows):
    monkeypatch.setattr(float32_computation, "HEAD_ROWS", rows)
    model = load(tiny)
    head = model.get_output_embeddings()
    states = torch.randn(3, 64, generator=torch.Generator().manual_seed(0)).bfloat16()
    with torch.no_grad(), head_in_float32(model), head_in_float32(model):
        found = head(states)
        # The body is in half precision still.
        assert model.base_model(TOKENS).last_hidden_state.dtype == torch.bfloat16
    assert found.dtype == torch.float32
    assert torch.allclose(found, states.float() @ head.weight.float().T, rtol=1e-6, atol=1e-6)
    assert head(states).dtype == torch.bfloat16


def test_a_heads_bias_counts(tiny):
    model = load(tiny)
    head = torch.nn.Linear(64, 50).bfloat16()
    model.set_output_embeddings(head)
    states = torch.randn(3, 64, generator=torch.Generator().manual_seed(0)).bfloat16()
    with torch.no_grad(), head_in_float32(model):
        assert torch.allclose(head(states), states.float() @ head.weight.float().T + head.bias.float(), rtol=1e-6, atol=1e-6)


def test_a_model_without_a_plain_head_is_refused(tiny):
    model = load(tiny)
    model.set_output_embeddings(torch.nn.Identity())
    with pytest.raises(UserError, match="LlamaForCausalLM has no plain output head"), head_in_float32(model):
        pass
