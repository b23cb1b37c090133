"""Base models from the Hugging Face hub; its client's settings apply (`HF_ENDPOINT`, `HF_HOME`, `HF_HUB_OFFLINE`, `HF_TOKEN`)."""

import json
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import TypeVar

from persona_exp.errors import UserError

# Duplicates of the weights in other formats, which some repositories carry: half of Mistral's bytes.
UNUSED = ("original/*", "consolidated*", "*.gguf", "*.pth", "*.bin", "*.onnx", "onnx/*", "*.h5", "*.msgpack")
# What describes a model: configuration, tokenizer, chat template.
DESCRIPTION = ("*.json", "*.jinja", "*.txt", "*.model")

GB = 1e9

T = TypeVar("T")


def resolve_revision(repository: str, revision: str | None) -> str:
    """Return the commit (40 hex digits) that `revision`, a branch or tag, null for the main branch, names now.

    The hub is asked, or its local cache if `HF_HUB_OFFLINE` is set. Raise UserError if the repository is gated, absent or out of reach.
    """
    if revision is not None and is_commit(revision):
        return revision
    from huggingface_hub import HfApi, constants, snapshot_download

    if constants.HF_HUB_OFFLINE:
        # A snapshot's folder is named after its commit.
        return Path(_asking(repository, lambda: snapshot_download(repository, revision=revision, local_files_only=True))).name
    commit = _asking(repository, lambda: HfApi().model_info(repository, revision=revision).sha)
    if commit is None:
        raise UserError(f"The hub names no commit for {repository}: give one with model.revision=COMMIT.")
    return commit


def fetch_hub(repository: str, revision: str | None) -> Path:
    """Return the folder of `repository` at `revision` in the hub's own cache (`HF_HOME`), downloaded where it is not whole there yet.

    A commit that is there is taken without asking the hub: jobs run where it cannot be reached.
    """
    from huggingface_hub import errors, snapshot_download

    with suppress(errors.LocalEntryNotFoundError, errors.HFValidationError):
        local = Path(snapshot_download(repository, revision=revision, local_files_only=True))
        if is_commit(revision) and _whole(local):
            return local
    refuse_little_room(repository, _asking(repository, lambda: download_bytes(repository, revision)))
    ignored = list(UNUSED)
    folder = Path(_asking(repository, lambda: snapshot_download(repository, revision=revision, ignore_patterns=ignored)))
    if not _whole(folder):
        raise UserError(f"{repository} has no config.json, tokenizer and complete .safetensors weights: it cannot be a base model.")
    return folder


def download_bytes(repository: str, revision: str | None, *, seconds: float | None = None) -> int:
    """Return the bytes of the files of `repository` that `fetch_hub` downloads, as the hub tells them within `seconds`."""
    from huggingface_hub import HfApi

    listed = HfApi().model_info(repository, revision=revision, files_metadata=True, timeout=seconds).siblings or []
    return sum(one.size or 0 for one in listed if not any(fnmatch(one.rfilename, pattern) for pattern in UNUSED))


def refuse_little_room(repository: str, needed: int) -> None:
    """Raise UserError where the disk of the hub's cache has no room for `needed` bytes of `repository`, less what of it is there."""
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE).absolute()
    blobs = cache / f"models--{repository.replace('/', '--')}" / "blobs"
    left = needed - sum(path.stat().st_size for path in blobs.glob("*"))
    free = shutil.disk_usage(next(path for path in (cache, *cache.parents) if path.is_dir())).free
    if left > free:
        raise UserError(
            f"{repository} has {left / GB:,.1f} GB to download and {cache} has {free / GB:,.1f} GB free: make room there, or set HF_HOME "
            "to a folder on a larger disk that the compute nodes see."
        )


def fetch_description(repository: str, revision: str | None) -> Path:
    """Return the folder of `repository` at `revision` in the hub's own cache, with configuration and tokenizer, perhaps without weights."""
    from huggingface_hub import snapshot_download

    patterns = list(DESCRIPTION)
    return Path(_asking(repository, lambda: snapshot_download(repository, revision=revision, allow_patterns=patterns)))


def is_commit(revision: str | None) -> bool:
    """Return whether `revision` names one state for good, and no branch or tag."""
    return revision is not None and re.fullmatch(r"[0-9a-f]{40}", revision) is not None


def _whole(folder: Path) -> bool:
    """Return whether all that loading needs is there: a download that was broken off leaves a folder with some of the files."""
    index = folder / "model.safetensors.index.json"
    shards = {"model.safetensors"}
    if index.is_file():
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    tokenizer = any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json"))
    return tokenizer and all((folder / name).is_file() for name in {"config.json", "tokenizer_config.json", *shards})


def _asking(repository: str, ask: Callable[[], T]) -> T:
    """Run `ask`, and say in one sentence what to do where it fails."""
    from huggingface_hub import constants, errors

    try:
        return ask()
    except errors.GatedRepoError as error:
        raise UserError(f"{repository} is gated: accept its licence at {constants.ENDPOINT}/{repository}, then set HF_TOKEN.") from error
    except errors.RevisionNotFoundError as error:
        raise UserError(f"{repository} has no such revision: correct model.revision.") from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(f"The hub knows no {repository}, or it is private: correct model.location, or set HF_TOKEN.") from error
    except errors.HFValidationError as error:
        raise UserError(f"model.location={repository} is no hub repository, which looks like owner/name.") from error
    except Exception as error:
        if not _network(error):
            raise
        offline = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else f"{constants.ENDPOINT} is out of reach"
        raise UserError(
            f"{repository} is not in the local cache and {offline}: get it where there is a network (hf download {repository}), "
            "or give its folder with model.source=path model.location=FOLDER."
        ) from error


def _network(error: Exception) -> bool:
    """Return whether the hub could not be asked. A full disk or a forbidden folder is another matter."""
    from huggingface_hub import errors

    if isinstance(error, (errors.LocalEntryNotFoundError, errors.HfHubHTTPError, ConnectionError, TimeoutError)):
        return True
    # The client has changed its HTTP library twice (requests, httpx, httpx2) and lets its exceptions through.
    return type(error).__module__.split(".")[0] in ("requests", "httpx", "httpx2")
