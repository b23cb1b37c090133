"""The files of a trial's seal: config.yaml, provenance.json and seals/X.json; the first sealing makes the folder whole, by rename."""

import json
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from persona_exp import atomic_files
from persona_exp.damaged_records import Damaged, parsed_json, record_bytes, set_aside
from persona_exp.trial.seal_facts import check_config, readable_seals
from persona_exp.trial.trial_directory import CONFIG, PROVENANCE, SEALS, TrialDirectory

log = logging.getLogger(__name__)

_encoded = json.JSONEncoder(ensure_ascii=False).encode


def write_seal(directory: TrialDirectory, config: str, provenance: Mapping[str, Any], facts: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    """Write what seals a trial, and return the path of its seal and the seal's facts; `config` is the config's text.

    `facts["config"]` is replaced by the name of the file that has the config. It is left to the caller to bring the files to the disk:
    three waits a trial make minutes of a large sweep.
    """
    facts = {**facts, "config": CONFIG}
    folder, name = str(directory.path), _seal_name(facts)
    texts = {CONFIG: config, PROVENANCE: _json(provenance), f"{SEALS}/{name}": _json(facts)}
    if not os.path.isdir(folder) and atomic_files.create_folder(folder, texts):  # noqa: PTH112 (20,000 of them)
        return directory.seals / name, facts
    # Sealed before, by whomever: what is there stays, and what is asked for otherwise stands beside it.
    _write_provenance(directory, provenance)
    facts["config"] = _write_config(directory, config)
    path = directory.seals / _seal_name(facts)
    _put_facts(path, facts)
    # Asked for anew: `persona-exp clean` counts from here. Another person's folder may not be ours to touch.
    with suppress(OSError):
        os.utime(directory.path)
    return path, facts


def _seal_name(facts: Mapping[str, Any]) -> str:
    return f"{atomic_files.digest(facts)[:8]}.json"


def _json(value: Mapping[str, Any]) -> str:
    """Return JSON with a line for each entry, whose keys are plain words; lines for what is in them take Python's slow encoder."""
    return "{\n" + ",\n".join([f'  "{key}": {_encoded(inner)}' for key, inner in value.items()]) + "\n}\n"


def _write_config(directory: TrialDirectory, text: str) -> str:
    """Return the name of the file that has the config."""
    path = directory.config
    if not _create(path, text) and path.read_bytes() != text.encode():
        if _damaged_config(directory):
            set_aside(path)
            _create(path, text)
            return path.name
        # The same trial asked for otherwise (another micro-batch, another evaluation): sealed beside the first.
        path = directory.path / f"config-{atomic_files.digest(text)[:8]}.yaml"
        if not _create(path, text) and path.read_bytes() != text.encode():
            # Cut short by a crash of the machine, say.
            set_aside(path)
            atomic_files.write_text(path, text)
    return path.name


def _write_provenance(directory: TrialDirectory, provenance: Mapping[str, Any]) -> None:
    """Write the first sealing's facts; warn where other code seals the trial again."""
    if _create(directory.provenance, text := _json(provenance)):
        return
    try:
        before = parsed_json(record_bytes(directory.provenance))["code"]["digest"]
    except (ValueError, KeyError, TypeError):
        set_aside(directory.provenance)
        atomic_files.write_text(directory.provenance, text)
        return
    if before != provenance["code"]["digest"]:
        log.warning("Trial %s was sealed by other code; its results are reused.", directory.trial_id)


def _put_facts(path: Path, facts: Mapping[str, Any]) -> None:
    """Have `facts` in a file that is named after them; one that a crash of the machine cut short, say, is kept beside it."""
    if _create(path, text := _json(facts)):
        return
    try:
        # Older versions wrote the same facts in other lines.
        same = parsed_json(record_bytes(path)) == facts
    except ValueError:
        same = False
    if not same:
        set_aside(path)
        atomic_files.write_text(path, text)


def _damaged_config(directory: TrialDirectory) -> bool:
    try:
        check_config(directory.path, readable_seals(directory.path))
    except Damaged:
        return True
    return False


def _create(path: Path, text: str) -> bool:
    return not path.exists() and atomic_files.create_text(path, text, flushed=False)
