"""What a config.json alone tells of a model: its projections, its attention, whether its weights are plain."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from persona_exp.errors import UserError
from persona_exp.modeling.model_architecture import WEIGHT_READ_DIRECTLY, Architecture, architecture

CONF = Path(__file__).parents[2] / "conf" / "model"
SMALL = {
    "vocab_size": 300,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
}
HYBRID = {"shared_intermediate_size": 512, "mamba_n_heads": 8, "layer_types": ["mamba", "attention"] * 2, "num_local_experts": 0}


def of(folder: Path, kind: str, **more: Any) -> Architecture:
    from transformers import AutoConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    if kind not in CONFIG_MAPPING_NAMES:
        pytest.skip(f"this transformers has no {kind}")
    AutoConfig.for_model(kind, **{**SMALL, **more}).save_pretrained(folder)
    return architecture(folder)


def test_the_tiny_model_without_its_weights(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((tiny / "config.json").read_text())
    found = architecture(tmp_path)
    assert (found.kind, found.layers, found.quantised) == ("llama", 2, None)
    assert found.targets == ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    assert found.others == {}
    assert found.linear < found.parameters < 200_000


# Which of conf/model's families a configuration is of.
FAMILIES = [
    ("qwen3-8b", "qwen3", {}),
    ("smollm3-3b", "smollm3", {}),
    ("olmo-3-7b-instruct", "olmo3", {}),
    ("phi-4", "phi3", {}),
    ("phi-4-mini-instruct", "phi3", {}),
    ("ministral-3-8b-instruct", "ministral3", {}),
    ("mistral-small-24b-instruct", "mistral", {}),
    ("llama-3.2-1b-instruct", "llama", {}),
    ("gemma-4-12b-it", "gemma4_unified_text", {"hidden_size_per_layer_input": 0}),
    ("gemma-4-e2b-it", "gemma4_text", {"layer_types": ["sliding_attention", "full_attention"] * 2, "num_kv_shared_layers": 2}),
    ("qwen3.5-9b", "qwen3_5_text", {"linear_num_key_heads": 2, "linear_num_value_heads": 4}),
    ("granite-4.0-micro", "granitemoehybrid", {**HYBRID, "layer_types": ["attention"] * 4}),
    ("granite-4.0-h-micro", "granitemoehybrid", HYBRID),
]


@pytest.mark.long
@pytest.mark.parametrize(("name", "kind", "more"), FAMILIES)
def test_what_conf_adapts_is_in_the_model(name: str, kind: str, more: dict[str, Any], tmp_path: Path) -> None:
    configured = set(yaml.safe_load((CONF / f"{name}.yaml").read_text())["target_modules"])
    found = of(tmp_path, kind, **more)
    assert configured <= set(found.targets)
    # What conf leaves out on purpose: gates a head, and what per-layer embeddings go through.
    left = {"in_proj_a", "in_proj_b", "per_layer_input_gate", "per_layer_projection"}
    assert set(found.targets) - configured <= left


def test_a_weight_that_a_kernel_reads_past_the_layer_is_no_target(tmp_path: Path) -> None:
    assert of(tmp_path, "granitemoehybrid", **HYBRID).others == {"out_proj": WEIGHT_READ_DIRECTLY}


def test_a_gate_is_no_target(tmp_path: Path) -> None:
    found = of(tmp_path, "qwen2_moe", num_experts=4, moe_intermediate_size=64, shared_expert_intermediate_size=128)
    assert found.others["shared_expert_gate"] == "only 1 outputs"
    assert "gate_proj" in found.targets


@pytest.mark.parametrize(("kind", "sdpa"), [("llama", True), ("gemma2", False)])
def test_attention_is_what_the_architecture_has(kind: str, sdpa: bool, tmp_path: Path) -> None:
    found = of(tmp_path, kind).attention
    assert ("sdpa" in found, "eager" in found) == (sdpa, True)


def test_quantised_weights_are_reported(tiny: Path, tmp_path: Path) -> None:
    config = json.loads((tiny / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": "fp8"}}))
    assert architecture(tmp_path).quantised == "fp8"


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"model_type": "of-tomorrow"}, "of-tomorrow"),
        ({"model_type": "vit"}, "makes no causal language model of"),
        ({}, "makes no causal language model of"),
    ],
)
def test_what_transformers_cannot_make_is_one_sentence(config: dict[str, Any], says: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=says) as refusal:
        architecture(tmp_path)
    assert len(str(refusal.value).splitlines()) == 1


def test_a_folder_without_a_configuration_is_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"config\.json"):
        architecture(tmp_path)
