"""How long a text a model was made for."""

import json
from pathlib import Path
from typing import Any

import pytest

from persona_exp.modeling.context_length import context_length


@pytest.mark.parametrize(
    ("config", "tokens"),
    [
        ({"max_position_embeddings": 2048}, 2048),
        ({"n_positions": 1024}, 1024),
        ({"text_config": {"max_position_embeddings": 8192}, "max_position_embeddings": 1}, 8192),
        ({"max_position_embeddings": 32768, "rope_scaling": {"type": "yarn", "factor": 4.0}}, 131072),
        (
            {
                "max_position_embeddings": 131072,
                "rope_parameters": {"rope_type": "yarn", "factor": 32.0, "original_max_position_embeddings": 4096},
            },
            131072,
        ),
        (
            {
                "max_position_embeddings": 131072,
                "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192},
            },
            131072,
        ),
        ({"model_type": "mamba"}, None),
    ],
)
def test_it_is_read_off_the_config(tmp_path: Path, config: dict[str, Any], tokens: int | None) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert context_length(tmp_path) == tokens


def test_where_there_is_no_config_it_is_not_known(tmp_path: Path) -> None:
    assert context_length(tmp_path) is None
