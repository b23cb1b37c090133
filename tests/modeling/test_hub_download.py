"""Of a hub repository, what describes the model without its weights."""

from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from persona_exp.errors import UserError
from persona_exp.modeling.hub_download import fetch_description


def test_weights_are_left_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requested: dict[str, Any] = {}

    def download(repository: str, **options: Any) -> str:
        requested.update(options, repository=repository)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert fetch_description("maker/model", "v2") == tmp_path
    assert (requested["repository"], requested["revision"]) == ("maker/model", "v2")
    taken = {name for name in FILES if any(fnmatch(name, pattern) for pattern in requested["allow_patterns"])}
    assert taken == {name for name in FILES if FILES[name]}


FILES = {
    "config.json": True,
    "tokenizer.json": True,
    "tokenizer.model": True,
    "tokenizer_config.json": True,
    "chat_template.jinja": True,
    "merges.txt": True,
    "model-00001-of-00004.safetensors": False,
    "consolidated.safetensors": False,
    "pytorch_model.bin": False,
    "model.gguf": False,
}


def test_a_hub_out_of_reach_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(repository: str, **_: Any) -> str:
        raise LocalEntryNotFoundError("nothing here")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(UserError, match="maker/model is not in the local cache"):
        fetch_description("maker/model", None)
