"""Whether what a job finds is what was sealed. Each model, dataset and copy of the code is read once a process."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from persona_exp import atomic_files
from persona_exp.errors import UserError
from persona_exp.project_folders import ROOT
from persona_exp.trial.code_provenance import code_digest, code_provenance, strays
from persona_exp.trial.hardware_and_versions import versions
from persona_exp.trial.seal import NO_DATA, data_digest
from persona_exp.trial.seal_facts import read_seal_facts
from persona_exp.trial.trial_directory import TrialDirectory

AGAIN = "run its command again to seal what is there now"


class Broken(UserError):
    """What is there is not what was sealed."""


def verify(path: Path) -> None:
    """Raise Broken, one sentence that names the first thing that is not as it was when the trial of this seal was sealed."""
    directory = TrialDirectory(path.absolute().parents[1])
    try:
        facts = read_seal_facts(path)
    except UserError as error:
        raise Broken(str(error)) from None
    reason = _reason(path, directory, facts)
    if reason:
        raise Broken(f"Trial {directory.trial_id} refuses to run: {reason}; {AGAIN}.")


def _reason(path: Path, directory: TrialDirectory, facts: Mapping[str, Any]) -> str | None:
    """Return the first difference, in words."""
    config = directory.path / facts["config"]
    if path.stem != atomic_files.digest(facts)[:8] or facts["trial_id"] != directory.trial_id:
        return f"its seal {path.name} was edited"
    if not config.is_file() or atomic_files.file_digest(config) != facts["config_sha256"]:
        return f"its {config.name} is not what was sealed"
    return _code(directory.runs, facts) or _environment(facts["environment"]) or _data(directory.runs, facts) or _model(config, facts)


def _code(runs: Path, facts: Mapping[str, Any]) -> str | None:
    folder = runs / "code" / facts["code_folder"]
    if not folder.is_dir() or _digest_of_code(folder) != facts["code"]:
        added = strays(folder) if folder.is_dir() else []
        return f"the code in {folder} is not what was sealed" + (f" (it holds {added[0]!r})" if added else "")
    if ROOT.resolve() != folder.resolve() and code_provenance()["digest"] != facts["code"]:
        return f"it is run by the code in {ROOT}, and {folder} was sealed"
    return None


def _environment(sealed: Mapping[str, str]) -> str | None:
    here = versions()
    differing = [name for name in sealed if here.get(name) != sealed[name]]
    return f"{differing[0]} is {here.get(differing[0])} here, and {sealed[differing[0]]} was sealed" if differing else None


def _data(runs: Path, facts: Mapping[str, Any]) -> str | None:
    data_id = facts["data_id"]
    if data_id.startswith(NO_DATA) or _digest_of_data(runs / "data" / data_id) == facts["data_sha256"]:
        return None
    from persona_exp.dataset.dataset_files import read_manifest

    folder = runs / "data" / data_id
    try:
        sums = read_manifest(folder)["files"]
    except UserError:
        return f"the dataset {folder} is not there"
    changed = [name for name in sorted(sums) if not (folder / name).is_file() or atomic_files.file_digest(folder / name) != sums[name]]
    return f"the data in {folder / (changed[0] if changed else 'manifest.json')} are not what was sealed"


def _model(config: Path, facts: Mapping[str, Any]) -> str | None:
    if facts["engine"] == "noop":
        return None
    import yaml

    model = yaml.safe_load(config.read_text(encoding="utf-8"))["model"]
    # The others are pinned by commit, checksum or recipe, which the config says.
    if model["source"] != "path":
        return None
    try:
        same = _digest_of_model(model["location"]) == facts["model_digest"]
    except UserError:
        same = False
    return None if same else f"the model in {model['location']} is not what was sealed"


@cache
def _digest_of_code(folder: Path) -> str:
    return code_digest(folder)


@cache
def _digest_of_data(folder: Path) -> str | None:
    try:
        return data_digest(folder)
    except UserError:
        return None


@cache
def _digest_of_model(location: str) -> str:
    from persona_exp.modeling.model_source import base_model_digest

    return base_model_digest("path", location, None, None)
