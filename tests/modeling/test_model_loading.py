from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, Gemma3Config, Gemma3ForConditionalGeneration, LlamaConfig, LlamaForCausalLM

from persona_exp.errors import UserError
from persona_exp.modeling.lora_adapter import add_lora
from persona_exp.modeling.model_loading import load_model
from persona_exp.modeling.tokenizer_loading import load_tokenizer

TEXT = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}


def test_nf4_quantises_the_projections_and_nothing_else(tiny: Path) -> None:
    model = load_model(tiny, "nf4", True, "bfloat16", "sdpa")
    kinds = {name: parameter.dtype for name, parameter in model.named_parameters()}
    assert {kind for name, kind in kinds.items() if name.endswith("_proj.weight")} == {torch.uint8}
    assert {kind for name, kind in kinds.items() if not name.endswith("_proj.weight")} == {torch.bfloat16}
    assert not model.training


@pytest.mark.parametrize("double", [True, False])
def test_double_quantisation_is_as_asked(tiny: Path, double: bool) -> None:
    layer = load_model(tiny, "nf4", double, "bfloat16", "sdpa").model.layers[0].mlp.up_proj
    assert layer.weight.quant_state.nested is double
    assert layer.compute_dtype == torch.bfloat16


@pytest.mark.skipif(torch.cuda.is_available(), reason="GPUs compute such sizes rightly")
def test_nf4_refuses_sizes_that_a_cpu_computes_wrongly(tmp_path: Path) -> None:
    LlamaForCausalLM(LlamaConfig(**TEXT | {"hidden_size": 96, "vocab_size": 50})).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"q_proj \(96\).*multiple of 64"):
        load_model(tmp_path, "nf4", True, "float32", "sdpa")
    load_model(tmp_path, "none", True, "float32", "sdpa")


def test_missing_weights_are_an_error_and_not_random_numbers(tiny: Path, tmp_path: Path) -> None:
    for file in tiny.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tiny / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 1 of its weights, model\.layers\.1\.mlp\.up_proj"):
        load_model(tmp_path, "none", True, "float32", "sdpa")


@pytest.fixture
def seeing(tmp_path: Path) -> Gemma3ForConditionalGeneration:
    """A Gemma-3 that also sees pictures, saved in `tmp_path`."""
    torch.manual_seed(0)
    vision = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision |= {"image_size": 28, "patch_size": 14}
    text = TEXT | {"head_dim": 64, "vocab_size": 300, "sliding_window": 16}
    model = Gemma3ForConditionalGeneration(Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)).eval()
    model.save_pretrained(tmp_path)
    return model


@pytest.mark.parametrize("published", [False, True])
def test_of_a_model_that_sees_pictures_the_language_part_is_loaded(seeing, tmp_path: Path, published: bool) -> None:
    if published:  # The names in the hub's files, which are older than those that transformers writes.
        weights = load_file(tmp_path / "model.safetensors")
        older = {name.replace("model.language_model.", "language_model.model."): weight for name, weight in weights.items()}
        save_file(older, tmp_path / "model.safetensors", {"format": "pt"})
    model = load_model(tmp_path, "none", True, "float32", "sdpa")
    tokens = torch.arange(5, 45)[None]
    with torch.no_grad():
        torch.testing.assert_close(model(tokens).logits, seeing(tokens).logits)
    assert AutoConfig.from_pretrained(tmp_path).model_type == "gemma3"
    adapted = add_lora(model, 2, 4, 0.0, ["q_proj", "v_proj"], False, seed=0)
    assert not [name for name, _ in adapted.named_parameters() if "vision" in name]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU may have it")
def test_flash_attention_without_a_gpu_is_refused(tiny: Path) -> None:
    with pytest.raises(UserError, match="needs a GPU"):
        load_model(tiny, "none", True, "bfloat16", "flash_attention_2")


def test_templates_of_ours_replace_the_tokenizers(tiny: Path) -> None:
    assert "### Assistant" in load_tokenizer(tiny, "plain").chat_template
    with pytest.raises(UserError, match="one of chatml, gemma4, plain"):
        load_tokenizer(tiny, "vicuna")


def test_a_tokenizer_without_a_template_needs_one(tiny: Path, tmp_path: Path) -> None:
    for file in tiny.iterdir():
        if file.name != "chat_template.jinja":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(UserError, match=r"model\.chat_template=plain"):
        load_tokenizer(tmp_path, None)
    assert load_tokenizer(tmp_path, "plain").chat_template
