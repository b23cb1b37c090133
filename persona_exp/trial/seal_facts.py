"""What a seal says, and whether what it asks for is there: read without the schema, and without trust in the files."""

import hashlib
import os
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from persona_exp.damaged_records import Damaged, parsed_json, parsed_yaml, record_bytes
from persona_exp.errors import UserError
from persona_exp.trial.folder_ids import are_evaluations, is_config_name, is_data_id, is_id
from persona_exp.trial.trial_directory import CONFIG, SEALS, TrialDirectory

# What of a seal is text, beside ids and names of files.
_TEXTS = ("config_sha256", "data_sha256", "model_digest", "base", "code", "lock", "engine", "method")


def read_seal_facts(path: Path) -> dict[str, Any]:
    """Return a seal's facts. Raise UserError where it is missing or damaged."""
    try:
        facts = parsed_json(record_bytes(path))
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


def published_seal(trial_folder: Path) -> str | None:
    """Return the name of the first of a trial's seals of which all is published; None without one. Damaged seals are passed over."""
    for path in seal_paths(trial_folder):
        with suppress(UserError):
            if all_published(path):
                return path.name
    return None


def sealed_config(folder: Path, name: str = CONFIG) -> dict[str, Any]:
    """Return a trial's config as it was sealed. Raise Damaged where it is not what a seal says, UserError without one."""
    content = _config_content(folder, name)
    config = _parsed_config(content)
    if config is None or _is_damaged(content, _digests(readable_seals(folder), name)):
        raise _damaged_config(folder / name)
    return config


def check_config(folder: Path, seals: Iterable[dict[str, Any]], name: str = CONFIG) -> None:
    """Raise as `sealed_config` does, given the facts of the trial's seals: a config that a seal has the digest of is not parsed."""
    content = _config_content(folder, name)
    if _is_damaged(content, _digests(seals, name)):
        raise _damaged_config(folder / name)


def readable_seals(folder: Path) -> list[dict[str, Any]]:
    """Return the facts of those of a trial's seals that can be read."""
    found = []
    for path in seal_paths(folder):
        with suppress(UserError):
            found.append(read_seal_facts(path))
    return found


def seal_paths(folder: Path) -> list[Path]:
    """Return the files of a trial's seals, by name."""
    seals = folder / SEALS
    try:
        names = os.listdir(seals)  # noqa: PTH208 (a glob takes three times as long, and there may be 20,000 trials)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [seals / name for name in sorted(names) if name.endswith(".json")]


def _digests(seals: Iterable[dict[str, Any]], name: str) -> set[str]:
    """Return the digests that seals have of the config of that name."""
    return {facts["config_sha256"] for facts in seals if facts["config"] == name and facts.get("config_sha256")}


def _is_damaged(content: bytes, digests: Collection[str]) -> bool:
    """Return whether a config is another than a seal says; without a seal that says it, whether it can be none."""
    if digests:
        return hashlib.sha256(content).hexdigest() not in digests
    # Cut short between two values it would be YAML all the same.
    return not content.endswith(b"\n") or _parsed_config(content) is None


def _config_content(folder: Path, name: str) -> bytes:
    try:
        return record_bytes(f"{folder}/{name}")
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"There is no trial {folder.name} under {folder.parent}; run its sweep again to seal it.") from None


def _parsed_config(content: bytes) -> dict[str, Any] | None:
    """Return a config, by group; None where the text can be none."""
    try:
        config = parsed_yaml(content.decode())
    except ValueError:
        return None
    groups = list(config.values()) if isinstance(config, dict) else []
    whole = all(isinstance(group, dict | str | int | None) for group in groups) and any(isinstance(group, dict) for group in groups)
    return dict(config) if whole else None


def _damaged_config(path: Path) -> Damaged:
    return Damaged(f"{path} is damaged: give the trial's command again, which writes it anew and keeps this file beside it.")
