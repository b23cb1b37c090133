"""Sealing: a trial's config and provenance written once, with its data built, before anything runs."""

import json
import logging
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from persona_exp import files
from persona_exp.config.identity import identity, trial_id
from persona_exp.config.schema import Config
from persona_exp.modeling.base import template_file
from persona_exp.modeling.cache import cache_folder
from persona_exp.modeling.source import digest, fetch, resolve
from persona_exp.training import TRAINING_VERSION
from persona_exp.trial import provenance
from persona_exp.trial.attempt import now
from persona_exp.trial.data import prepare
from persona_exp.trial.directory import Directory, trial_directory

log = logging.getLogger(__name__)

# The trials of a sweep share their base model, and reading a large one takes minutes.
_model_digest = cache(digest)


@dataclass(frozen=True)
class Sealed:
    """A trial ready to run: `config` is the file a worker reads instead of conf/."""

    directory: Directory
    config: Path

    @property
    def trial_id(self) -> str:
        return self.directory.trial_id


def seal(config: Config, *, command: str) -> Sealed:
    """Build the data that `config` asks for and write the trial's directory; the same config gives the same directory.

    Raises UserError, before anything is written for the trial, when the model cannot be named or the data not be built.
    """
    runs, model = Path(config.runs), config.model
    config = replace(config, model=replace(model, revision=resolve(model.source, model.location, model.revision)))
    source = (model.source, model.location, config.model.revision, model.sha256)
    model_digest = _model_digest(*source)
    template_digest = files.file_digest(template_file(model.chat_template)) if model.chat_template else None
    data_id = prepare(config)
    # Jobs may run where nothing can be downloaded.
    fetch(*source, cache_folder())
    what = identity(config, model_digest=model_digest, template_digest=template_digest, data_id=data_id, training_version=TRAINING_VERSION)
    directory = trial_directory(runs, trial_id(what))
    text = yaml.safe_dump(asdict(config), sort_keys=False, allow_unicode=True)
    files.create_text(directory.provenance, _provenance(what, data_id, model_digest, command))
    path = directory.config
    if not files.create_text(path, text) and path.read_text(encoding="utf-8") != text:
        # The same trial asked for otherwise (another micro-batch, another evaluation): sealed beside the first.
        path = directory.path / f"config-{files.digest(text)[:8]}.yaml"
        files.create_text(path, text)
    _announce_other_code(directory)
    return Sealed(directory, path)


def read_sealed(path: Path) -> tuple[Sealed, Config]:
    """A sealed config file and what it holds."""
    from omegaconf import OmegaConf

    from persona_exp.config.compose import resolve

    loaded = OmegaConf.load(path)
    return Sealed(Directory(path.parent), path), resolve(loaded)  # type: ignore[arg-type]


def _provenance(what: dict[str, Any], data_id: str, model_digest: str, command: str) -> str:
    facts = {
        "identity": what,
        "data_id": data_id,
        "model_digest": model_digest,
        "code": provenance.code(),
        "lock": provenance.lock(),
        "command": command,
        "sealed": now(),
    }
    return json.dumps(facts, indent=2, ensure_ascii=False) + "\n"


def _announce_other_code(directory: Directory) -> None:
    before = json.loads(directory.provenance.read_text(encoding="utf-8"))["code"]["digest"]
    if before != provenance.code()["digest"]:
        log.warning("Trial %s was sealed by other code; its results are reused.", directory.trial_id)
