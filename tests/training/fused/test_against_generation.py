"""Whether replies can be had of a family is found on a small model of it."""

from typing import Any

import pytest

from persona_exp.training.fused.generation_check import against_generation


def config(kind: str, **settings: Any) -> Any:
    from transformers import AutoConfig

    sizes = {"vocab_size": 128, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "pad_token_id": 0}
    return AutoConfig.for_model(kind, **{**sizes, **settings})


@pytest.mark.parametrize(
    ("kind", "settings"),
    [("llama", {"intermediate_size": 96, "num_key_value_heads": 2}), ("modernbert-decoder", {"intermediate_size": 96})],
)
def test_nothing_speaks_against_it(kind: str, settings: dict[str, Any]) -> None:
    assert against_generation(config(kind, **settings)) == ""


@pytest.mark.parametrize(
    ("kind", "settings", "reason"),
    [
        ("mamba", {}, "MambaForCausalLM keeps no cache of what it has read"),
        (
            "bamba",
            {"intermediate_size": 96, "num_key_value_heads": 2, "mamba_n_heads": 8, "mamba_d_head": 16},
            "The cache of Bamba.* cannot be used",
        ),
    ],
)
def test_what_keeps_no_cache_or_none_that_can_be_used_is_named(kind: str, settings: dict[str, Any], reason: str) -> None:
    import re

    assert re.match(reason, against_generation(config(kind, **settings)))
