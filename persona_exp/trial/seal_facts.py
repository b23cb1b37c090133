"""What a seal says, and whether what it asks for is there: read without the schema, and without trust in the files."""

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from persona_exp.damaged_records import Damaged, parsed_json, parsed_yaml
from persona_exp.errors import UserError
from persona_exp.trial.folder_ids import are_evaluations, is_config_name, is_data_id, is_id
from persona_exp.trial.trial_directory import TrialDirectory

# What of a seal is text, beside ids and names of files.
_TEXTS = ("config_sha256", "data_sha256", "model_digest", "base", "code", "lock", "engine", "method")


def read_seal_facts(path: Path) -> dict[str, Any]:
    """Return a seal's facts. Raise UserError where it is missing or damaged."""
    try:
        facts = parsed_json(path.read_bytes())
        fault = _fault(facts)
    except (OSError, ValueError) as error:
        fault = str(error)
    if fault:
        raise Damaged(f"The seal {path} cannot be read ({fault}): run the sweep's command again to seal the trial anew.") from None
    return dict(facts)


def _fault(facts: Any) -> str | None:
    """Return what keeps `facts` from being those of a seal, as a clause; None where nothing does."""
    if not isinstance(facts, dict):
        return "it holds no JSON object"
    forms = {"trial_id": is_id, "config": is_config_name, "data_id": is_data_id, "code_folder": is_id, "evaluations": are_evaluations}
    wrong = [name for name, holds in forms.items() if name in facts and not holds(facts[name])]
    wrong += [name for name in ("config", "data_id", "code_folder", "engine", "method", "evaluations") if name not in facts]
    wrong += [name for name in _TEXTS if not isinstance(facts.get(name), str | None)]
    wrong += [name for name in ("may", "environment") if not isinstance(facts.get(name, {}), dict)]
    seconds = facts.get("heartbeat_seconds", 1.0)
    wrong += [] if isinstance(seconds, int | float) and 0 < seconds < float("inf") else ["heartbeat_seconds"]
    return f"its {wrong[0]} is missing or of another form" if wrong else None


def all_published(path: Path) -> bool:
    """Return whether all that a seal asks of its trial is published; read off the seal and the folders alone."""
    facts, directory = read_seal_facts(path), TrialDirectory(path.parents[1])
    if facts["engine"] == "noop":
        return directory.noop.is_file()
    if facts["method"] != "none" and not directory.adapter.is_dir():
        return False
    return all((directory.evaluations / eval_id).is_dir() for eval_id in facts["evaluations"].values())


def sealed_config(folder: Path, name: str = "config.yaml") -> dict[str, Any]:
    """Return a trial's config as it was sealed. Raise Damaged where it is not what a seal says, UserError without one."""
    path = folder / name
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"There is no trial {folder.name} under {folder.parent}; run its sweep again to seal it.") from None
    try:
        config = parsed_yaml(content.decode())
    except ValueError:
        config = None
    digests = _config_digests(folder, name)
    # Cut short between two values it would be YAML all the same.
    changed = (bool(digests) and hashlib.sha256(content).hexdigest() not in digests) or not content.endswith(b"\n")
    groups = list(config.values()) if isinstance(config, dict) else []
    whole = all(isinstance(group, dict | str | int | None) for group in groups) and any(isinstance(group, dict) for group in groups)
    if changed or not whole:
        raise Damaged(f"{path} is damaged: give the trial's command again, which writes it anew and keeps this file beside it.")
    return dict(config)


def _config_digests(folder: Path, name: str) -> set[str]:
    """Return the digests that the trial's seals have of the config of that name."""
    found = set()
    for path in (folder / "seals").glob("*.json"):
        with suppress(UserError):
            facts = read_seal_facts(path)
            found |= {facts["config_sha256"]} if facts["config"] == name and facts.get("config_sha256") else set()
    return found
