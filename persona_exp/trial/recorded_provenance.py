"""What a trial was sealed with: its provenance.json."""

from pathlib import Path
from typing import Any

from persona_exp.damaged_records import Damaged
from persona_exp.trial.folder_ids import is_data_id
from persona_exp.trial.record_files import AGAIN, read_json


def read_provenance(runs: Path, trial_id: str) -> dict[str, Any]:
    """Return what a trial was sealed with; empty where nothing says. Raise Damaged where it cannot be read."""
    path = f"{runs}/trials/{trial_id}/provenance.json"
    try:
        content = read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    identity = content.get("identity") or {}
    parts = [identity, content.get("code") or {}]
    parts += [identity.get(key) or {} for key in ("model", "method")] if isinstance(identity, dict) else []
    version = identity.get("training_version") if isinstance(identity, dict) else None
    texts = all(isinstance(content.get(key), str | None) for key in ("command", "sealed", "model_digest"))
    ids = isinstance(content.get("identity"), dict) and (content.get("data_id") is None or is_data_id(content["data_id"]))
    if (
        "identity" not in content
        or not (texts and ids)
        or not all(isinstance(one, dict) for one in parts)
        or not isinstance(version, int | None)
    ):
        raise Damaged(f"{path} is not of the form that is written; {AGAIN}")
    return content


def provenance_if_whole(runs: Path, trial_id: str) -> dict[str, Any]:
    """Return `read_provenance`, empty where that is damaged: then nothing is comparable with the trial."""
    try:
        return read_provenance(runs, trial_id)
    except Damaged:
        return {}
