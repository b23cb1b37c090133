"""Sealing: a trial's config, code, data, model and environment named once, before anything runs; a job verifies them and reads no conf/.

What a job needs to read a seal imports neither the schema nor anything that loads data or models.
"""

import ctypes
import hashlib
import json
import logging
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp import files
from persona_exp.errors import UserError
from persona_exp.trial.attempt import now
from persona_exp.trial.directory import Directory, trial_directory

if TYPE_CHECKING:
    from persona_exp.config.schema import Config

log = logging.getLogger(__name__)

NO_DATA = "noop"


@dataclass(frozen=True)
class Sealed:
    """A trial ready to run: `path` is its seal, which names all else; `config` is the file a worker reads instead of conf/."""

    directory: Directory
    config: Path
    path: Path

    @property
    def trial_id(self) -> str:
        return self.directory.trial_id


def seal(config: "Config", *, command: str) -> Sealed:
    """Build the data that `config` asks for, fetch its model and write the trial's seal; the same config gives the same seal.

    Raises UserError, before anything is written for the trial, when the model cannot be named or the data not be built. What the trials
    of a sweep share is read once a process.
    """
    from persona_exp.config.identity import identity, trial_id
    from persona_exp.modeling.base import template_file
    from persona_exp.training import TRAINING_VERSION
    from persona_exp.trial.provenance import code
    from persona_exp.trial.snapshot import snapshot

    runs = Path(config.runs)
    config, model_digest, data_id, data_sha256 = _inputs(config)
    template = config.model.chat_template
    template_digest = files.file_digest(template_file(template)) if template else None
    what = identity(config, model_digest=model_digest, template_digest=template_digest, data_id=data_id, training_version=TRAINING_VERSION)
    directory = trial_directory(runs, trial_id(what))
    folder = snapshot(runs).absolute()
    made_by = code(folder)
    if made_by["digest"][: len(folder.name)] != folder.name:
        raise UserError(f"The copy of the code in {folder} was edited: delete it and run the command again.")
    provenance = {"identity": what, "data_id": data_id, "model_digest": model_digest, "code": made_by}
    _write_provenance(directory, {**provenance, "lock": _surroundings(folder)["lock"], "command": command})
    path, text = _write_config(directory, config)
    facts = {
        "trial_id": directory.trial_id,
        "config": path.name,
        "config_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "data_id": data_id,
        "data_sha256": data_sha256,
        "model_digest": model_digest,
        "base": _base(config, model_digest),
        "code": made_by["digest"],
        "code_folder": folder.name,
        **_surroundings(folder),
        **_asked(config, directory.trial_id, data_id),
    }
    sealed = directory.seals / f"{files.digest(facts)[:8]}.json"
    _put(sealed, json.dumps(facts, indent=2) + "\n")
    # Asked for anew: `persona-exp clean` counts from here. Another person's folder may not be ours to touch.
    with suppress(OSError):
        os.utime(directory.path)
    return Sealed(directory, path, sealed)


def flush(runs: Path) -> None:
    """Bring all that was sealed under `runs` to the disk; once, before anything that names the seals is written or submitted."""
    descriptor = os.open(runs, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(runs))
    finally:
        os.close(descriptor)


def read_seal(path: Path) -> tuple[Sealed, "Config"]:
    """A seal's trial and its config, in which `runs` is the folder that the seal lies in, absolute. UserError: it is damaged."""
    from omegaconf import OmegaConf

    from persona_exp.config.compose import resolve

    directory = Directory(path.absolute().parents[1])
    config = directory.path / read_seal_facts(path)["config"]
    loaded = OmegaConf.load(config)
    return Sealed(directory, config, path), replace(resolve(loaded), runs=str(directory.runs))  # type: ignore[arg-type]


def read_seal_facts(path: Path) -> dict[str, Any]:
    """What a seal says. UserError: it is not there or damaged."""
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"The seal {path} cannot be read ({error}): run the sweep's command again to seal the trial anew.") from None
    return facts


def finished(path: Path) -> bool:
    """Whether all that a seal asks of its trial is published; read off the seal and the folders alone."""
    facts, directory = read_seal_facts(path), Directory(path.parents[1])
    if facts["engine"] == "noop":
        return directory.noop.is_file()
    if facts["method"] != "none" and not directory.adapter.is_dir():
        return False
    return all((directory.evaluations / eval_id).is_dir() for eval_id in facts["evaluations"].values())


def _inputs(config: "Config") -> tuple["Config", str, str, str | None]:
    """The config with its model pinned, the model's digest, the data's id and the digest over its files; all there when it returns."""
    model = config.model
    if config.engine.name == "noop":
        # It reads neither, so nothing is asked of a network.
        source = {"source": model.source, "location": model.location, "revision": model.revision, "sha256": model.sha256}
        return config, files.digest({"engine": "noop", **source}), NO_DATA, None
    location = str(Path(model.location).expanduser().absolute()) if model.source == "path" else model.location
    revision = _resolve(model.source, location, model.revision)
    config = replace(config, model=replace(model, location=location, revision=revision))
    source_key = (model.source, location, revision, model.sha256)
    model_digest = _model_digest(*source_key)
    data_id = _prepare(config)
    _fetch(*source_key)
    return config, model_digest, data_id, _data_digest(Path(config.runs).absolute(), data_id)


@cache
def _resolve(source: str, location: str, revision: str | None) -> str | None:
    from persona_exp.modeling.source import resolve

    return resolve(source, location, revision)


@cache
def _model_digest(source: str, location: str, revision: str | None, sha256: str | None) -> str:
    # The trials of a sweep share their base model, and reading a large one takes minutes.
    from persona_exp.modeling.source import digest

    return digest(source, location, revision, sha256)


@cache
def _fetch(source: str, location: str, revision: str | None, sha256: str | None) -> None:
    # Jobs may run where nothing can be downloaded.
    from persona_exp.modeling.cache import cache_folder
    from persona_exp.modeling.source import fetch

    fetch(source, location, revision, sha256, cache_folder())


_prepared: dict[str, str] = {}


def _prepare(config: "Config") -> str:
    """The data's id. What `prepare` reads of a config is the key; the rest of it may differ from trial to trial."""
    from persona_exp.trial.data import data_folder, prepare

    read = {name: asdict(getattr(config, name)) for name in ("persona", "corpus", "data", "teacher")}
    # Which examples are drawn is no part of the data, and whether there are enough of them does not hang on it.
    del read["data"]["seed"]
    others = {name: asdict(persona) for name, persona in config.others.items()}
    trains = config.method.name != "none"
    asks = {"split": config.evaluation.split, "trains": trains, "looks": trains and config.train.eval_steps is not None}
    key = files.canonical_json({**read, **asks, "others": others, "runs": config.runs})
    known = _prepared.get(key)
    if known is None or not data_folder(Path(config.runs), known).is_dir():
        known = _prepared[key] = prepare(config)
    return known


@cache
def _data_digest(runs: Path, data_id: str) -> str:
    from persona_exp.trial.data import data_folder

    return data_digest(data_folder(runs, data_id))


def data_digest(folder: Path) -> str:
    """Digest (64 hex digits) over the files of a built dataset that its manifest lists, as they are now; UserError: one is missing."""
    from persona_exp.dataset.build import read_manifest

    names = sorted(read_manifest(folder)["files"])
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise UserError(f"{folder / missing[0]} is missing; delete {folder} and build it again.")
    return files.digest({name: files.file_digest(folder / name) for name in names})


@cache
def _surroundings(folder: Path) -> dict[str, Any]:
    from persona_exp.trial.environment import versions
    from persona_exp.trial.provenance import lock

    return {"environment": versions(), "lock": lock(folder)}


def _base(config: "Config", model_digest: str) -> str | None:
    """The base model as a trial computes it, which is all that trials must share to travel together; None of one that runs alone."""
    if config.engine.name != "fused" or config.method.name == "full":
        return None
    quantisation = (config.method.quantisation, config.method.double_quantisation)
    return files.digest([model_digest, *quantisation, config.model.dtype, config.model.attention])[:12]


def _asked(config: "Config", trial_id: str, data_id: str) -> dict[str, Any]:
    """What a worker must know of a config without reading it."""
    from persona_exp.trial.stages import owed

    return {
        "engine": config.engine.name,
        "method": config.method.name,
        "evaluations": {one.condition: one.eval_id for one in owed(config, trial_id, data_id)},
        "heartbeat_seconds": config.cluster.heartbeat_seconds,
        "may": {"halve_micro_batch": config.train.halve_on_oom},
    }


def _write_config(directory: Directory, config: "Config") -> tuple[Path, str]:
    # Where the runs are is told from where the config lies, so that a folder that is reached by two names gives one seal.
    text = _yaml(replace(config, runs="runs"))
    path = directory.config
    if not _create(path, text) and path.read_text(encoding="utf-8") != text:
        # The same trial asked for otherwise (another micro-batch, another evaluation): sealed beside the first.
        path = directory.path / f"config-{files.digest(text)[:8]}.yaml"
        _put(path, text)
    return path, text


def _yaml(config: "Config") -> str:
    """The config as YAML, group by group: those that a sweep does not touch are written once."""
    return "".join(_group_yaml(name, json.dumps(value)) for name, value in asdict(config).items())


@cache
def _group_yaml(name: str, value: str) -> str:
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return str(yaml.dump({name: json.loads(value)}, Dumper=dumper, sort_keys=False, allow_unicode=True))


def _write_provenance(directory: Directory, facts: dict[str, Any]) -> None:
    """The first sealing's facts stay; where other code seals the trial again, that is said."""
    text = json.dumps({**facts, "sealed": now()}, indent=2, ensure_ascii=False) + "\n"
    if _create(directory.provenance, text):
        return
    try:
        before = json.loads(directory.provenance.read_text(encoding="utf-8"))["code"]["digest"]
    except ValueError:
        # Cut short by a crash of the machine.
        files.write_text(directory.provenance, text)
        return
    if before != facts["code"]["digest"]:
        log.warning("Trial %s was sealed by other code; its results are reused.", directory.trial_id)


def _put(path: Path, text: str) -> None:
    """Have `text` in a file that is named after it, also where a crash of the machine cut an earlier one short."""
    if not _create(path, text) and path.read_text(encoding="utf-8") != text:
        files.write_text(path, text)


def _create(path: Path, text: str) -> bool:
    """Left to `flush` to bring to the disk: three waits for it a trial make minutes of a large sweep."""
    return not path.exists() and files.create_text(path, text, flushed=False)
