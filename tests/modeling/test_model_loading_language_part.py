"""Checkpoints that also see pictures: the language part alone is loaded, and computes what the whole computes of a text."""

from pathlib import Path
from typing import Any

import pytest

from persona_exp.modeling.model_loading import load_model

TEXT = {"vocab_size": 300, "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32}
PICTURES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "head_dim": 16}
LINEAR = {"linear_key_head_dim": 16, "linear_value_head_dim": 16, "linear_num_key_heads": 2, "linear_num_value_heads": 4}
PER_LAYER = {"hidden_size_per_layer_input": 16, "vocab_size_per_layer_input": 300, "num_kv_shared_layers": 2, "global_head_dim": 64}
UNIFIED = {"attention_k_eq_v": True, "num_global_key_value_heads": 1, "hidden_size_per_layer_input": 0, "global_head_dim": 64}
ALTERNATING = ["sliding_attention", "full_attention"]

# (model_type, its text, its pictures, the rest)
CHECKPOINTS: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    (
        "qwen3_5",
        {**LINEAR, "num_hidden_layers": 4, "layer_types": None},
        {"depth": 1, "num_heads": 2, "out_hidden_size": 64, **PICTURES},
        {},
    ),
    ("mistral3", {"num_hidden_layers": 2}, PICTURES, {"tie_word_embeddings": False}),
    ("gemma4", {**PER_LAYER, "num_hidden_layers": 6, "layer_types": ALTERNATING * 3}, {**PICTURES, "num_key_value_heads": 2}, {}),
    ("gemma4_unified", {**UNIFIED, "num_hidden_layers": 4, "layer_types": ALTERNATING * 2}, {}, {}),
]


@pytest.mark.long
@pytest.mark.parametrize(("kind", "text", "pictures", "rest"), CHECKPOINTS)
def test_the_language_part_computes_what_the_whole_does(
    kind: str, text: dict[str, Any], pictures: dict[str, Any], rest: dict[str, Any], tmp_path: Path
) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    if kind not in CONFIG_MAPPING_NAMES:
        pytest.skip(f"this transformers has no {kind}")
    default = AutoConfig.for_model(kind)
    settings = default.to_dict()
    settings["text_config"] = {
        **{key: value for key, value in settings["text_config"].items() if key != "per_layer_config"},
        **TEXT,
        **text,
    }
    if pictures:
        settings["vision_config"] = {**(settings["vision_config"] or {}), **pictures}
    settings |= {"audio_config": None, **rest} if "audio_config" in settings else rest
    whole = AutoModelForImageTextToText.from_config(type(default).from_dict(settings)).eval()
    whole.save_pretrained(tmp_path)
    language = load_model(tmp_path, "none", True, "float32", "sdpa")
    ids = torch.randint(20, 200, (1, 12))
    with torch.no_grad():
        assert torch.equal(whole(input_ids=ids).logits, language(input_ids=ids).logits)
    assert not [name for name, _ in language.named_modules() if "vision" in name]
