"""Sizes of base models: published counts of weights, and transformers' own models."""

import json
from pathlib import Path
from typing import Any

import pytest

from persona_exp.modeling import layer_sizes
from persona_exp.modeling.layer_sizes import ATTENTION, CUTS, KNOWN_LAYER_SIZES, SHARED, TIED, LayerSizes, layer_sizes_of, read_layer_sizes

CONF = Path(__file__).parents[2] / "conf" / "model"
# Blocks of several forms: linear attention, layers of several sizes, state spaces. For these no shape is known.
WITHOUT = ("Qwen/Qwen3.5-", "google/gemma-4-", "ibm-granite/granite-4.0-h-")
SMALL = {
    "vocab_size": 1024,
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


# As the model cards and the pages of the repositories state them, in billions; of checkpoints that also see pictures the language part.
@pytest.mark.parametrize(
    ("repository", "billions"),
    [
        ("HuggingFaceTB/SmolLM2-135M-Instruct", 0.1345),
        ("mistralai/Mistral-7B-v0.3", 7.25),
        ("Qwen/Qwen2.5-7B-Instruct", 7.62),
        ("meta-llama/Llama-3.1-8B", 8.03),
        ("Qwen/Qwen2.5-14B", 14.77),
        ("google/gemma-2-27b", 27.23),
        ("google/gemma-3-27b-pt", 27.01),
        ("Qwen/Qwen3-32B", 32.76),
    ],
)
def test_shapes_in_the_table_have_the_published_number_of_parameters(repository: str, billions: float) -> None:
    assert KNOWN_LAYER_SIZES[repository].parameters / 1e9 == pytest.approx(billions, rel=0.002)


# Stated with fewer digits: to one unit of the last.
@pytest.mark.parametrize(
    ("repository", "billions"),
    [
        ("HuggingFaceTB/SmolLM3-3B", "3"),
        ("meta-llama/Llama-3.2-1B-Instruct", "1.23"),
        ("meta-llama/Llama-3.2-3B-Instruct", "3.21"),
        ("meta-llama/Llama-3.3-70B-Instruct", "70"),
        ("mistralai/Mistral-Small-24B-Instruct-2501", "24"),
        ("mistralai/Ministral-3-3B-Instruct-2512-BF16", "3.4"),
        ("mistralai/Ministral-3-8B-Instruct-2512-BF16", "8.5"),
        ("mistralai/Ministral-3-14B-Instruct-2512-BF16", "13.5"),
        ("Qwen/Qwen3-0.6B", "0.6"),
        ("Qwen/Qwen3-1.7B", "1.7"),
        ("Qwen/Qwen3-4B", "4.0"),
        ("Qwen/Qwen3-8B", "8.2"),
        ("Qwen/Qwen3-14B", "14.8"),
        ("allenai/Olmo-3-7B-Instruct", "7"),
        ("allenai/Olmo-3.1-32B-Instruct", "32"),
        ("ibm-granite/granite-4.0-micro", "3"),
        ("microsoft/phi-4", "14.7"),
        ("microsoft/Phi-4-mini-instruct", "3.8"),
    ],
)
def test_shapes_agree_with_what_is_published_in_round_numbers(repository: str, billions: str) -> None:
    unit = 10.0 ** -len(billions.partition(".")[2])
    assert abs(KNOWN_LAYER_SIZES[repository].parameters / 1e9 - float(billions)) <= unit


# Qwen 3's cards also count without the embeddings, which holds the projections alone.
@pytest.mark.parametrize(("size", "billions"), [("0.6B", 0.44), ("1.7B", 1.4), ("4B", 3.6), ("8B", 6.95), ("14B", 13.2), ("32B", 31.2)])
def test_projections_of_qwen_3_are_the_published_weights_without_embeddings(size: str, billions: float) -> None:
    assert KNOWN_LAYER_SIZES[f"Qwen/Qwen3-{size}"].projected / 1e9 == pytest.approx(billions, rel=0.01)


def test_every_model_that_conf_takes_from_the_hub_is_in_the_table_or_has_no_such_shape() -> None:
    configured = {
        line.split(":", 1)[1].strip()
        for path in CONF.glob("*.yaml")
        if "source: hub" in (text := path.read_text(encoding="utf-8"))
        for line in text.splitlines()
        if line.startswith("location:")
    }
    assert len(configured) > 30
    assert {one for one in configured if not one.startswith(WITHOUT)} == set(KNOWN_LAYER_SIZES) - {"HuggingFaceTB/SmolLM2-135M-Instruct"}
    assert not [one for one in KNOWN_LAYER_SIZES if one.startswith(WITHOUT)]


def config_of(kind: str, **more: Any) -> Any:
    from transformers import AutoConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    if kind not in CONFIG_MAPPING_NAMES:
        pytest.skip(f"this transformers has no {kind}")
    return AutoConfig.for_model(kind, **{**SMALL, **more})


def built(config: Any) -> tuple[int, dict[str, tuple[int, int]]]:
    """The count of weights that are matrices, and the linear layers of its blocks by name."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    matrices = sum(parameter.numel() for parameter in model.parameters() if parameter.ndim > 1)
    linear = {name.rpartition(".")[2]: layer for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear)}
    return matrices, {name: (layer.in_features, layer.out_features) for name, layer in linear.items() if name != "lm_head"}


@pytest.mark.long
@pytest.mark.parametrize("kind", sorted(set(CUTS) - {"gemma3", "mistral3"}))  # Those two hold another's language part.
def test_a_shape_counts_the_weights_of_transformers_own_model(kind: str, tmp_path: Path) -> None:
    more: dict[str, Any] = {"head_dim": 32} if kind == "ministral" else {}
    if CUTS[kind] == SHARED:
        more = {"num_local_experts": 0, "shared_intermediate_size": 704, "layer_types": ["full_attention"] * 4, "mamba_n_heads": 8}
    config = config_of(kind, **more)
    config.save_pretrained(tmp_path)
    found = read_layer_sizes(tmp_path / "config.json")
    assert found is not None
    assert (found.parameters, found.projections()) == built(config)


@pytest.mark.parametrize("kind", sorted(set(CUTS) - {"mistral3"}))
def test_an_output_head_is_tied_where_its_configuration_says_so_by_default(kind: str) -> None:
    assert (kind in TIED) == config_of(kind, **({"head_dim": 32} if kind == "ministral" else {})).get_text_config().tie_word_embeddings


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "qwen3_moe", "num_experts": 128, "moe_intermediate_size": 768},
        {"model_type": "mixtral", "num_local_experts": 8},
        {"model_type": "gpt_neox"},
        {"model_type": "qwen3_5_text"},
        {"model_type": "gemma4", "text_config": {**SMALL, "model_type": "gemma4_text"}},
        {"model_type": "llama", "layer_types": ["full_attention", "linear_attention"]},
        {"model_type": "granitemoehybrid", "shared_intermediate_size": 704, "num_local_experts": 4},
        {"model_type": "granitemoehybrid", "shared_intermediate_size": 704, "layer_types": ["mamba", "attention"]},
        {},
    ],
)
def test_a_model_whose_blocks_have_another_form_has_no_shape(config: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**SMALL, **config}))
    assert read_layer_sizes(tmp_path / "config.json") is None


def test_kinds_of_attention_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**SMALL, "model_type": "olmo3", "layer_types": list(ATTENTION)}))
    assert read_layer_sizes(tmp_path / "config.json") == LayerSizes(256, 704, 4, 8, 2, 32, 1024, tied=False)


def test_a_shape_is_read_from_where_the_model_is(tiny: Path) -> None:
    found = layer_sizes_of("path", str(tiny), None, None, tiny.parent)
    assert found == layer_sizes_of("tiny", "tiny", None, None, tiny.parent)
    # Not made yet.
    assert found == layer_sizes_of("tiny", "tiny", None, None, tiny / "elsewhere")
    assert (found.hidden, found.layers, found.head_size, found.tied) == (64, 2, 64, True)  # type: ignore[union-attr]


def test_the_language_part_of_a_model_that_sees_pictures_is_what_counts(tmp_path: Path) -> None:
    text = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 100}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gemma3", "text_config": text, "vision_config": {"hidden_size": 9}}))
    assert read_layer_sizes(tmp_path / "config.json") == LayerSizes(64, 128, 2, 4, 4, 16, 100, tied=True)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"hidden_size": "many"}'])
def test_a_config_that_lacks_sizes_gives_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    assert read_layer_sizes(tmp_path / "config.json") is None


def test_an_unknown_model_gives_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_sizes, "KNOWN_LAYER_SIZES", {})
    assert layer_sizes_of("path", str(tmp_path / "absent"), None, None, tmp_path) is None
