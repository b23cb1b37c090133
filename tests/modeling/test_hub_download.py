"""Of a hub repository, what describes the model without its weights."""

from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from persona_exp.errors import UserError
from persona_exp.modeling import hub_download
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


def test_a_model_for_which_there_is_no_room_is_refused_before_it_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    class Hub:
        def model_info(self, repository: str, **_: Any) -> SimpleNamespace:
            names = {"model.safetensors": 65_000_000_000, "consolidated.safetensors": 65_000_000_000, "config.json": 700}
            return SimpleNamespace(siblings=[SimpleNamespace(rfilename=name, size=size) for name, size in names.items()])

    def download(repository: str, local_files_only: bool = False, **_: Any) -> str:
        assert local_files_only, "it was downloaded"
        raise LocalEntryNotFoundError("nothing here")

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub_download.shutil, "disk_usage", lambda _: SimpleNamespace(free=50_000_000_000))
    with pytest.raises(UserError, match=r"maker/model has 65\.0 GB to download and .*hub has 50\.0 GB free: .*HF_HOME"):
        hub_download.fetch_hub("maker/model", None)
    # What a download that was broken off has left counts.
    blobs = tmp_path / "hub" / "models--maker--model" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "a").write_bytes(bytes(1000))
    hub_download.refuse_little_room("maker/model", 50_000_001_000)
    with pytest.raises(UserError):
        hub_download.refuse_little_room("maker/model", 50_000_001_001)


def test_a_hub_out_of_reach_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(repository: str, **_: Any) -> str:
        raise LocalEntryNotFoundError("nothing here")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(UserError, match="maker/model is not in the local cache"):
        fetch_description("maker/model", None)
