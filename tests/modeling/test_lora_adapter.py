import json
import math
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from peft import PeftConfig, get_peft_model_state_dict
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from persona_exp.errors import UserError
from persona_exp.modeling.adapter_files import lora_config, save_adapter, write_adapter
from persona_exp.modeling.lora_adapter import add_lora, initial_a, load_adapter
from persona_exp.modeling.lora_targets import check_targets
from persona_exp.modeling.model_card import BaseModelReference
from persona_exp.modeling.model_loading import load_model

BASE = BaseModelReference("someone/some-model", "c" * 40, "Base model: some.\n\n```python\n```\n")

SEVEN = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
PRECISIONS = [("none", "float32"), ("none", "bfloat16"), ("nf4", "bfloat16")]


def trainable_parameters(model) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


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
    save_adapter(adapted(tiny), tmp_path, BASE)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] == "someone/some-model"
    assert not [path for path in tmp_path.iterdir() if str(tiny).encode() in path.read_bytes()]
    load_adapter(load_model(tiny, "none", True, "float32", "sdpa"), tmp_path)


@pytest.mark.parametrize(("alpha", "rslora"), [(16.0, False), (12.5, True)])
def test_the_config_that_we_write_is_the_one_that_peft_saves(tmp_path: Path, alpha: float, rslora: bool) -> None:
    """Key by key: ours stand in PEFT's with the same value, the others have PEFT's default and are the same once loaded."""
    given = {"r": 8, "alpha": alpha, "dropout": 0.1, "target_modules": SEVEN, "rslora": rslora}
    theirs = lora_config(**given)
    theirs.base_model_name_or_path, theirs.revision, theirs.inference_mode = BASE.name, BASE.revision, True
    theirs.save_pretrained(str(tmp_path / "theirs"))
    write_adapter({"a": torch.zeros(1)}, tmp_path / "ours", BASE, **given)
    saved, ours = (json.loads((tmp_path / who / "adapter_config.json").read_text()) for who in ("theirs", "ours"))
    saved["target_modules"].sort()
    assert {key: saved.get(key, "absent") for key in ours} == ours
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert PeftConfig.from_pretrained(tmp_path / "ours").to_dict() == theirs.to_dict()


def test_an_adapter_is_written_without_peft(tmp_path: Path) -> None:
    code = """if True:
        import sys, torch
        from pathlib import Path
        from persona_exp.modeling.adapter_files import write_adapter
        from persona_exp.modeling.model_card import BaseModelReference
        write_adapter({"a": torch.zeros(1)}, Path(sys.argv[1]), BaseModelReference("x", None, "```"), r=8, alpha=8,
                      dropout=0, target_modules=["q_proj"], rslora=False)
        print([name for name in ("torch", "peft") if name in sys.modules])
    """
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "adapter")], check=True, capture_output=True, text=True)
    assert done.stdout == "['torch']\n"
    assert {path.name for path in (tmp_path / "adapter").iterdir()} >= {"adapter_config.json", "adapter_model.safetensors"}


def family(kind: str, **changes):
    """A small random model of that kind."""
    sizes = {"vocab_size": 99, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **sizes, **changes))


@pytest.mark.parametrize(
    ("model", "head", "fits"),
    [
        (lambda: family("llama", tie_word_embeddings=True), "lm_head", "q_proj"),
        (lambda: family("llama", tie_word_embeddings=False), "lm_head", "q_proj"),
        (
            lambda: family("trocr", d_model=32, decoder_layers=1, decoder_attention_heads=2, decoder_ffn_dim=48),
            "output_projection",
            "q_proj",
        ),
    ],
)
def test_the_output_head_is_no_target_whatever_its_name(model, head: str, fits: str) -> None:
    made = model()
    with pytest.raises(
        UserError, match=rf"^lora\.target_modules: {head} is this model's output head, which neither engine trains: .*{fits}"
    ):
        add_lora(made, 8, 16, 0.0, [fits, head], False, 0)
    with pytest.raises(UserError) as raised:
        check_targets(made, ["nothing"])
    assert head not in str(raised.value)
    check_targets(made, [fits])


def test_what_is_no_linear_layer_is_no_target() -> None:
    experts = family("mixtral", num_local_experts=2, num_key_value_heads=1)
    for target in ("experts", "gate_up_proj", "embed_tokens", "input_layernorm"):
        with pytest.raises(
            UserError, match=rf"{target} of this model is no linear layer, which adapters go on: choose from k_proj, o_proj, q"
        ):
            check_targets(experts, ["q_proj", target])
    with pytest.raises(UserError, match="it has no linear layers that adapters go on"):
        check_targets(
            AutoModelForCausalLM.from_config(AutoConfig.for_model("gpt2", vocab_size=99, n_embd=32, n_layer=1, n_head=2)), ["c_attn"]
        )


def test_names_that_peft_takes_for_experts_are_no_targets() -> None:
    """GLM-4 has gate_proj in dense layers and shared experts, and PEFT takes that name for the experts, which are one tensor."""
    experts = {"moe_intermediate_size": 16, "n_routed_experts": 4, "num_experts_per_tok": 2, "num_key_value_heads": 1, "pad_token_id": 0}
    model = family("glm4_moe", first_k_dense_replace=0, n_group=1, topk_group=1, head_dim=16, **experts)
    for targets in (["q_proj", "gate_proj"], ["mlp.shared_experts.down_proj"]):
        with pytest.raises(UserError, match=r"PEFT takes \S+ for this model's experts.* choose from k_proj, o_proj, q_proj, v_proj\.$"):
            check_targets(model, targets)
    check_targets(model, ["q_proj", "o_proj"])
    # Without experts the same names are linear layers and nothing else.
    check_targets(family("llama"), ["gate_proj", "down_proj"])
